from tests.net.loops import fixture_run as fixture_run
