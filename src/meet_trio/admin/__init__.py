"""The admin page: an operator's way into a running server by HTTP, off until it has a token.

``access`` decides who may do what, ``api`` has the calls, ``server`` puts both and the page below
``admin.path``. The page itself is built from ``web/``. What the calls do is in ``operator``.
"""
