from tests.storage.stores import fixture_store as fixture_store
