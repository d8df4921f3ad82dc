"""Settings for all tests."""

from hypothesis import settings

# No deadline: the time of one example depends more on the load of the machine than on the code.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")
