"""``meet-trio doctor``: looks at settings, machine and network, and says what is wrong and what to
type. It works while the server runs and while it does not.

A *check* is an async function from an ``Inspection`` (the settings, a view of the machine, what
answers on the ports) to findings. Checks know nothing of each other. ``examine`` runs them at the
same time, each with a time limit; one that fails by itself is a finding too.

| file | holds |
|---|---|
| ``findings`` | what a check returns |
| ``machine`` | the view of the machine, which tests replace |
| ``inspection`` | what all checks share |
| ``server`` | the running server, or the stand-ins that take its ports while it does not run |
| ``examine`` | the table of checks, and their run |
| ``command`` | arguments and output |
| the others | one group of checks each; ``stun``, ``lines`` and ``relay`` are their protocols |
"""
