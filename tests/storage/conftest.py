from tests.storage.services import fixture_answers as fixture_answers
from tests.storage.services import fixture_faulty_store as fixture_faulty_store
from tests.storage.services import fixture_service as fixture_service
from tests.storage.stores import fixture_store as fixture_store
