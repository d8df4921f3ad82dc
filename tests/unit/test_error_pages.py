"""Each message that a user may see has exactly one page in ``docs/errors``, and each page is about
messages that exist. ``docs/recipes.md`` says how a message gets one.
"""

from collections import Counter

from support.messages import AUDIENCES, PAGES, WORDS, index, pages, templates

HOW = "add it to the list at the top of a page in docs/errors (see docs/recipes.md, a new message)"


def test_each_message_has_a_page() -> None:
    listed = {template for page in pages() for template in page.templates}
    missing = [f"{where}: {text}" for text, where in templates().items() if text not in listed]
    assert not missing, HOW


def test_no_page_is_about_a_message_that_is_gone() -> None:
    known = templates()
    gone = {p.path.name: [t for t in p.templates if t not in known] for p in pages()}
    assert not {name: texts for name, texts in gone.items() if texts}


def test_each_message_has_only_one_page() -> None:
    listed = Counter(template for page in pages() for template in page.templates)
    assert not [template for template, times in listed.items() if times > 1]


def test_each_page_says_who_sees_it() -> None:
    assert not [page.path.name for page in pages() if not AUDIENCES.keys() >= {*page.seen_by}]
    assert not [page.path.name for page in pages() if not page.templates]


def test_the_index_is_current() -> None:
    """``PYTHONPATH=tests python -m support.messages > docs/errors/index.md`` writes it."""
    assert (PAGES / "index.md").read_text() == index() + "\n"


def test_messages_are_found_in_each_place() -> None:
    """One of each kind that the source has: were a rule of the search lost, its messages would go
    without a page.
    """
    assert {
        "http.auth_token: the API would be open to all; set AUTH_TOKEN. To try the server on this "
        "machine: --demo",  # an error whose text is two literals
        "there are … rooms already (limits.rooms)",  # holes
        "is missing",  # the text of a function that names the field
        "there is no file …",  # a ValueError about a setting
        "webhook … lost: …",  # a log line with %s
        "status …: webhook.token is refused",  # assigned first
        "… has taken no commands for … s",  # a reason of health
        "media.listen_ip, media.port: cannot use …: …",
        "too many …: at most … at once and … a second (…)",  # returned
        'unknown request.method "…"',  # given to the class above
        "internal error",  # behind the key "error"
        "Unsupported protocol version",  # of Engine.IO
        "ping timeout",
        "meet-trio: --stats takes no command",  # printed
        "the body took longer than … s (http.body_timeout)",
    } <= templates().keys()
    assert {text for text, where in templates().items() if WORDS.name in where} > {
        "Your camera is busy. Another program may be using it.",
        "Your network carries only …: the others see a smaller picture of you.",
    }
