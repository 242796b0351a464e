from tests.loops import fixture_run as fixture_run
