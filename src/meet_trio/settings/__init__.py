"""The functions and types with which the packages describe their settings. Nothing else of
``meet_trio`` is imported here.
"""
