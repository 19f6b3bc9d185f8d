"""A local Dynamics 365 (Dataverse Web API) to run and test against.

``python -m dynamics_emulator serve`` starts one from the command line, and ``dynamics_emulator.testing`` one inside of
a test. What it answers follows Microsoft's documents; where those are silent or disagree, the behaviour is a field of
:class:`dynamics_emulator.settings.Settings`.
"""
