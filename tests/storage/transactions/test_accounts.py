"""Accounts, devices, profiles."""

import hashlib

from chat.core.ports.operations import (
    AccountFound,
    CloseDevice,
    CreateUser,
    DeviceFound,
    Done,
    FindAccount,
    FindDevice,
    OpenDevice,
    ProfileRead,
    ReadProfile,
    ReadRoster,
    UserCreated,
)
from chat.protocol.messages import User
from chat.storage.backends.connection import DatabaseConnection
from chat.storage.dispatch import execute
from tests.storage.stores import (
    NOW_MS,
    befriend,
    make_group,
    refused,
    register,
    register_users,
    roster,
)

TOKEN = hashlib.sha256(b"token").digest()
OTHER_TOKEN = hashlib.sha256(b"other").digest()


def test_a_name_belongs_to_one_user_whatever_its_case(store: DatabaseConnection) -> None:
    first = execute(store, CreateUser("Ann", "hash", NOW_MS))
    assert isinstance(first, UserCreated)
    assert first.user.name == "Ann"
    assert execute(store, CreateUser("aNN", "hash", NOW_MS)) == refused("name_taken")
    second = execute(store, CreateUser("ann2", "hash", NOW_MS))
    assert isinstance(second, UserCreated)
    assert second.user.id > first.user.id


def test_an_account_is_found_by_number_and_by_name(store: DatabaseConnection) -> None:
    ann, _ = register_users(store, 2)
    for ref in (ann, "Ann", "ann", "ANN"):
        found = execute(store, FindAccount(ref))
        assert isinstance(found, AccountFound)
        assert found.account is not None
        assert found.account.user == User(id=ann, name="Ann")
        assert found.account.password_hash == "hash of Ann"
    for ref in (999, "nobody", str(ann)):
        assert execute(store, FindAccount(ref)) == AccountFound(None)


def test_a_device_lives_from_open_to_close(store: DatabaseConnection) -> None:
    ann = register(store, "ann")
    assert execute(store, FindDevice(TOKEN, NOW_MS)) == refused("bad_credentials")
    assert execute(store, OpenDevice(ann, TOKEN, NOW_MS)) == Done()
    execute(store, OpenDevice(ann, OTHER_TOKEN, NOW_MS))
    assert execute(store, FindDevice(TOKEN, NOW_MS)) == DeviceFound(ann)
    for _ in range(2):
        assert execute(store, CloseDevice(TOKEN)) == Done()
    assert execute(store, FindDevice(TOKEN, NOW_MS)) == refused("bad_credentials")
    assert execute(store, FindDevice(OTHER_TOKEN, NOW_MS)) == DeviceFound(ann)


def test_devices_do_not_change_the_roster(store: DatabaseConnection) -> None:
    ann = register(store, "ann")
    before = roster(store, ann)
    execute(store, OpenDevice(ann, TOKEN, NOW_MS))
    execute(store, CloseDevice(TOKEN))
    assert roster(store, ann) == before


def test_a_profile_counts_what_is_there(store: DatabaseConnection) -> None:
    ann, bob, cyd = register_users(store, 3)
    befriend(store, ann, bob)
    make_group(store, ann, cyd)
    make_group(store, ann)
    execute(store, OpenDevice(ann, TOKEN, NOW_MS))
    profile = execute(store, ReadProfile(ann))
    assert profile == ProfileRead(User(id=ann, name="Ann"), NOW_MS, 1, 1, 2)
    assert execute(store, ReadProfile(cyd)) == ProfileRead(
        User(id=cyd, name="cyd"), NOW_MS, 0, 0, 1
    )


def test_an_unknown_user_has_no_roster_profile_or_device(
    store: DatabaseConnection,
) -> None:
    assert execute(store, ReadRoster(999)) == refused("no_such_user")
    assert execute(store, ReadProfile(999)) == refused("no_such_user")
    assert execute(store, OpenDevice(999, TOKEN, NOW_MS)) == refused("no_such_user")
