"""Which URLs are taken, and what they say."""

import ssl
from pathlib import Path

import pytest

from chat.bus.redis_address import RedisAddress, TlsOptions

CERTIFICATE = Path(__file__).with_name("localhost.pem")


@pytest.mark.parametrize(
    ("url", "address", "place"),
    [
        ("redis://h", RedisAddress("h"), "h:6379"),
        ("redis://", RedisAddress(), "localhost:6379"),
        ("redis://h:1/2", RedisAddress("h", 1, db=2), "h:1"),
        ("redis://h:1?db=3", RedisAddress("h", 1, db=3), "h:1"),
        ("redis://[::1]:7/0", RedisAddress("::1", 7), "::1:7"),
        (
            "redis://ann:s%20cret@h:1/0",
            RedisAddress("h", 1, username="ann", password="s cret"),
            "h:1",
        ),
        ("redis://:secret@h", RedisAddress("h", password="secret"), "h:6379"),
        (
            "redis://h?username=ann&password=secret&client_name=chat",
            RedisAddress("h", username="ann", password="secret", client_name="chat"),
            "h:6379",
        ),
        ("redis://h?socket_timeout=3&protocol=3", RedisAddress("h"), "h:6379"),
        ("unix:///redis.sock?db=4", RedisAddress(path="/redis.sock", db=4), "/redis.sock"),
        (
            "unix://ann:secret@/run/redis.sock",
            RedisAddress(path="/run/redis.sock", username="ann", password="secret"),
            "/run/redis.sock",
        ),
        ("rediss://h", RedisAddress("h", tls=TlsOptions()), "h:6379"),
        (
            "rediss://h?ssl_cert_reqs=none&ssl_check_hostname=no&ssl_ca_certs=/ca.pem",
            RedisAddress(
                "h", tls=TlsOptions(cert_reqs="none", check_hostname=False, ca_certs="/ca.pem")
            ),
            "h:6379",
        ),
    ],
)
def test_a_url_says_where_and_how_to_log_in(url: str, address: RedisAddress, place: str) -> None:
    assert RedisAddress.parse(url) == address
    assert str(address) == place


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://h", "redis://"),
        ("redis://h:port/0", "port"),
        ("redis://h?db=x", "db"),
        ("redis://h?client=chat", "no option client"),
        ("redis://h?tls=yes", "no option tls"),
        ("rediss://h?ssl_cert_reqs=perhaps", "ssl_cert_reqs"),
        ("rediss://h?ssl_certificate=x", "no option certificate"),
        ("unix://", "path"),
    ],
)
def test_what_is_no_url_of_a_redis_is_refused(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        RedisAddress.parse(url)


def test_tls_checks_the_certificate_and_the_name_unless_told_otherwise() -> None:
    strict = TlsOptions().context()
    assert strict.verify_mode is ssl.CERT_REQUIRED
    assert strict.check_hostname
    lax = TlsOptions(cert_reqs="none").context()
    assert lax.verify_mode is ssl.CERT_NONE
    assert not lax.check_hostname


def test_tls_options_reach_the_context() -> None:
    context = TlsOptions(
        certfile=str(CERTIFICATE),
        ca_certs=str(CERTIFICATE),
        min_version=int(ssl.TLSVersion.TLSv1_3),
        include_verify_flags=[ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF],
        exclude_verify_flags=[ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST],
    ).context()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.verify_flags & ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    assert not context.verify_flags & ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST
    with pytest.raises(FileNotFoundError):
        TlsOptions(ca_certs="/nowhere").context()
