"""URLs that can't be used, each with one clear error before anything is connected; and how they are shown."""

from __future__ import annotations

import pytest
import redis
import redis.sentinel

from taskq import OptionError, Queue
from taskq.redis import connection, urls

GOOD = [
    "redis://localhost:6379/0", "redis://localhost", "redis://localhost/", "redis://", "redis://localhost:6379/15/",
    "rediss://me:p%2Fw%23x%3F@host:6380/2?ssl_cert_reqs=none&ssl_ca_certs=/etc/ca.pem", "redis://[::1]:6379/0",
    "unix:///run/redis.sock", "unix://me:secret@/run/redis.sock?db=1", "unix:///run/redis@home.sock",
    "redis://host/0?password=a@b", "redis://host/0?username=me&password=a%2Fb&client_name=web", "redis://me:p@ss@host",
    "redis://host?socket_timeout=3&max_connections=20&protocol=3&db=2",
    "redis+sentinel://a,b:7/main", "redis+sentinel://me:p%2Fw@[::1]:7,b/my.main-1_/3/?socket_timeout=3",
    "rediss+sentinel://a/main/0?ssl_cert_reqs=none&sentinel_password=a%26b&sentinel_ssl=no",
    "redis+sentinel://a/main?sentinel_username=me&sentinel_password=b&db=2",
]  # fmt: skip


@pytest.mark.parametrize("url", GOOD)
def test_good_ones(url: str) -> None:
    assert urls.fault(url) is None
    connection.connect(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:pa/secret@host:6379/0", "redis://me:#secret@host:6379/0", "redis://:12?secret@host:6379/0",
        "redis://:12/secret@host", "rediss://me:12#secret@host/1", "unix://me:s/secret@/run/redis.sock",
        "redis://:?secret=a@host:6379/0",
    ],
)  # fmt: skip
def test_a_raw_character_in_a_password(url: str) -> None:
    with pytest.raises(OptionError, match=r"a raw / # or [?] in its password: write %2F") as caught:
        Queue(url=url)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://host/abc", "names no database"), ("redis://host:6379/1/2", "names no database"),
        ("redis://host/-1", "names no database"), ("redis://host/0#1", "has a # in it"),
        ("unix://", "names no socket"),
        ("redis://host/0?sockettimeout=3", "sockettimeout: did you mean socket_timeout?"),
        ("redis://host/0?xyz=3", "xyz: there are client_name, credential_provider, db"),
        ("redis://host?db=one", "value for its option db"),
        ("redis://host?decode_responses=True", "decode_responses, which can't be chosen: taskq reads bytes"),
        ("redis://host?decode_responses=", "decode_responses"),
        ("redis://host?legacy_responses=0", "legacy_responses"),
        ("redis://host?max_connections=1", "its pool has one connection"),
        ("redis://host?timeout=5", "timeout: did you mean socket_timeout?"),
        ("redis://me:secret@host?ssl_certfile=x", "ssl_certfile, which redis-py does not take for such a URL"),
        ("unix://me:secret@/s?ssl_ca_certs=x", "ssl_ca_certs, which redis-py does not take for such a URL"),
        ("unix:///s?socket_keepalive=1", "socket_keepalive, which redis-py does not take for such a URL"),
        ("rediss://me:secret@host?ssl_cert_reqs=secret", "an option with a value that redis-py does not take"),
        ("redis://host?encoding=utf-8", "encoding, which can't be chosen: taskq writes UTF-8"),
        ("redis://host?retry_on_error=a", "patience"), ("localhost:6379", "is not a URL such as redis://host:6379/0"),
        ("redis:localhost", "is not a URL such as"), ("redis+sentinel://host", "names no primary"),
        ("redis+sentinel:///main/0", "names no sentinels"), ("redis+sentinel://a,,b/main", "names no sentinels"),
        ("redis+sentinel://a:port/main", "names no sentinels"),
        ("redis+sentinel://a/main/one", "names no primary"), ("redis+sentinel://a/ma!n/0", "names no primary"),
        ("redis+sentinel://a/main/0#1", "has a # in it"), ("sentinel://a/main", "is not a URL such as"),
        ("redis+sentinel://:secret/@a,b/main", "has a raw / # or ?"),
        ("redis+sentinel://a/main?sentinel_ssl=perhaps", "sentinel_ssl that is none"),
        ("redis+sentinel://a/main?sentinel_pasword=b", "did you mean"),
        ("redis+sentinel://a/main?ssl_certfile=x", "ssl_certfile, which redis-py does not take for such a URL"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(url: str, told: str) -> None:
    with pytest.raises(OptionError) as caught:
        Queue(url=url)
    assert told in str(caught.value)
    assert not str(caught.value).endswith(".")
    assert "secret@" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    [
        "redis://host?socket_keepalive=1&client_name=me", "rediss://host?ssl_certfile=x&ssl_cert_reqs=none",
        "unix:///s?db=3&socket_timeout=5",
    ],
)  # fmt: skip
def test_what_is_right_is_taken(url: str) -> None:
    assert Queue(url=url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://there:7/2", "redis://:a%40b@there:7/2", "redis://me:a%3Ab@there:7/0", "unix:///a/b.sock?db=3",
        "unix:///a/b.sock?password=a%26b", "rediss://there:7/0?ssl_cert_reqs=none", "redis://[::1]:7/0",
        "rediss://there:7/0?ssl_ca_certs=%2Fca.pem&ssl_cert_reqs=required",
    ],
)  # fmt: skip
def test_a_whole_url_connects_as_its_connection_does(url: str) -> None:
    assert urls.whole_url_of(redis.Redis.from_url(url)) == url


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://a:26379,b:7/main/2", "redis+sentinel://me:p%2Fw@[::1]:7/main/0",
        "rediss+sentinel://a:1/main/0?ssl_ca_certs=%2Fca.pem&sentinel_password=a%26b&sentinel_ssl=no",
        "redis+sentinel://a:1/main/0?sentinel_username=me&sentinel_password=b&sentinel_ssl=yes",
    ],
)  # fmt: skip
def test_a_whole_url_of_a_primary_that_sentinels_tell(url: str) -> None:
    made = connection.connect(url)
    assert urls.whole_url_of(made) == url
    assert urls.url_of(made) == url.replace("me:p%2Fw@", "").partition("?")[0]


def test_what_redis_py_asks_sentinels_is_told_as_a_url() -> None:
    hosts = [("a", 1), ("b", 26379)]
    told = redis.sentinel.Sentinel(hosts, sentinel_kwargs={"password": "s"}, db=2, password="x").master_for("main")  # noqa: S106
    assert urls.whole_url_of(told) == "redis+sentinel://:x@a:1,b:26379/main/2?sentinel_password=s"
    assert urls.url_of(told) == "redis+sentinel://a:1,b:26379/main/2"
    tls = redis.sentinel.Sentinel(hosts, ssl=True, ssl_ca_certs="/ca.pem").master_for("main")
    assert urls.whole_url_of(tls) == (
        "rediss+sentinel://a:1,b:26379/main/0?ssl_ca_certs=%2Fca.pem&sentinel_ssl=no"
    )


def test_what_no_url_can_say_is_refused() -> None:
    differ = redis.sentinel.Sentinel([("a", 1), ("b", 2)])
    differ.sentinels[1] = redis.Redis("b", 2, password="x")  # noqa: S106
    provider = redis.Redis(credential_provider=redis.UsernamePasswordCredentialProvider("a", "b"))
    for one in (differ.master_for("main"), provider):
        with pytest.raises(OptionError, match="can't be told as a URL"):
            urls.whole_url_of(one)
