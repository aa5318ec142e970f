"""Laws that hold for whatever hypothesis can draw.

No deadline per example: on a busy machine it would fail for the machine's sake. `pytest-timeout` ends what hangs.
"""

from hypothesis import HealthCheck, settings

settings.register_profile("laws", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("laws")
