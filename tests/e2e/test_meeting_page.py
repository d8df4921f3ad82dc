"""What the meeting page offers to the person in front of it, in Chromium: one test for each part, in
pages that the tests of this file share where they can.
"""

from playwright.sync_api import Browser
from support.daemon import Daemon


def test_the_page_speaks_the_browsers_language_until_another_is_chosen(
    daemon: Daemon, browser: Browser
) -> None:
    context = browser.new_context(locale="de-AT")
    page = context.new_page()
    page.goto(daemon.url)
    page.get_by_role("button", name="Besprechung beginnen").wait_for()
    assert page.evaluate("document.documentElement.lang") == "de"
    page.get_by_test_id("link-input").fill("nothing")
    page.get_by_test_id("link-join").click()
    page.get_by_text("Das sieht nicht wie ein Link").wait_for()
    page.get_by_test_id("language-select").select_option("fr")
    page.get_by_text("Cela ne ressemble pas à un lien").wait_for()  # what was said follows
    assert page.evaluate("document.documentElement.lang") == "fr"
    page.reload()
    page.get_by_role("button", name="Ouvrir une réunion").wait_for()
    context.close()
