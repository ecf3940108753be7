"""Classes of a script: what comes back is of the script's own, in another run of it, too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit import script

SCRIPT = """
import abc, collections, enum, functools, sys, typing
from dataclasses import dataclass, field
from taskq.payload import codec

class Colour(enum.Enum):
    RED = 1
    BLUE = (2, "b")
    def text(self):
        return self.name.lower()

class Level(enum.IntEnum):
    LOW = 1

class Way(enum.Flag):
    IN = enum.auto()
    OUT = enum.auto()

@dataclass(frozen=True)
class Point:
    x: int
    y: "int" = 0
    tags: list[str] = field(default_factory=list)
    made: typing.ClassVar[int] = 0

@dataclass(slots=True, frozen=True)
class Slotted:
    x: int
    colour: Colour = Colour.RED

class Row(typing.NamedTuple):
    a: int
    b: str = "b"
    def both(self):
        return self.a, self.b

Pair = collections.namedtuple("Pair", "left right")

class Plain:
    __slots__ = ("a", "__b")
    def __init__(self, a):
        self.a, self.__b = a, a
    def __eq__(self, other):
        return type(other) is type(self) and (self.a, self.__b) == (other.a, other.__b)
    __hash__ = None

class Child(Plain):
    __slots__ = "c"
    def __init__(self, a):
        super().__init__(a)
        self.c = a

class Referred(Plain):
    __slots__ = ("__dict__", "__weakref__")

class Text(str):
    __slots__ = ()

T = typing.TypeVar("T")

class Box(typing.Generic[T]):
    __slots__ = ("inside",)
    def __init__(self, inside):
        self.inside = inside
    def __eq__(self, other):
        return isinstance(other, Box) and self.inside == other.inside
    __hash__ = object.__hash__

class Meta(type):
    def of(cls):
        return cls.__name__

class Base(abc.ABC):
    @abc.abstractmethod
    def value(self): ...

class WithMeta(metaclass=Meta):
    def __eq__(self, other):
        return isinstance(other, WithMeta)
    __hash__ = object.__hash__

class Outer(Base):
    made = 0
    seen = {}
    class Inner(Exception):
        pass
    def __init__(self, n):
        type(self).made += 1
        self.n = n
    @functools.cache
    def cached(self): return self.n
    @property
    def double(self): return 2 * self.n
    @functools.cached_property
    def triple(self): return 3 * self.n
    @staticmethod
    def none(n=None): return n
    @classmethod
    def one(cls): return cls(1)
    def value(self): return self.n
    def __eq__(self, other): return isinstance(other, Outer) and self.n == other.n
    __hash__ = object.__hash__

class BadInput(ValueError):
    def __init__(self, text, n):
        super().__init__(text, n)
        self.n = n
    def __eq__(self, other):
        return type(self) is type(other) and self.args == other.args
    __hash__ = object.__hash__

def values():
    return [
        Colour.RED, Colour.BLUE, Level.LOW, Way.IN | Way.OUT, Point(1, 2), Slotted(3), Row(4), Pair(5, 6),
        Plain(7), Child(8), Referred(9), Text("t"), Box([Row(1)]), WithMeta(), Outer(10), Outer.Inner("eleven"),
        BadInput("no", 12), [Point(1), {Colour.RED: Plain(13)}],
    ]

def push():
    Outer(1), Outer.seen.update(n=1)  # what a run changes of a class
    return codec.dumps(values)

if __name__ == "__main__":
    data = sys.stdin.buffer.read()
    if sys.argv[1] == "push":
        sys.stdout.buffer.write(push())
    elif sys.argv[1] == "collect":
        for here, there in zip(values(), codec.loads(data), strict=True):
            same = type(here) is type(there) and (here == there or isinstance(here, Outer.Inner))
            print(type(here).__name__, same)
    else:
        exec(sys.argv[1])
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What a worker made of what one run of the script has pushed."""
    path = tmp_path_factory.mktemp("first") / "script.py"
    path.write_text(SCRIPT)
    return script.work(script.run(path, "push"))


def collected(path: Path, sent: bytes) -> dict[str, bool]:
    lines = script.run(path, "collect", stdin=sent).decode().splitlines()
    found: dict[str, bool] = {}
    for name, same in (line.split() for line in lines):
        found[name] = found.get(name, True) and same == "True"
    return found


def test_a_second_run_gets_values_of_its_own_classes(path: Path, sent: bytes) -> None:
    found = collected(path, sent)
    assert [name for name, same in found.items() if not same] == []
    assert len(found) == 17


def test_classes_are_alike_wherever_they_are_written(path: Path, sent: bytes) -> None:
    changed = SCRIPT.replace("    made = 0\n    seen = {}\n", "    made = 7\n    seen = {1: 2}\n")
    path.write_text(f"# moved\n\n{changed}")
    assert all(collected(path, sent).values())


def test_classes_are_alike_with_another_seed_for_hashes(path: Path, sent: bytes) -> None:
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, str(path), "collect"], input=sent, capture_output=True, check=True,
            env={**os.environ, "PYTHONPATH": str(script.ROOT), "PYTHONHASHSEED": seed},
        )  # fmt: skip
        assert b"False" not in done.stdout


CHANGES = {
    "Colour": ("RED = 1", "RED = 3"),
    "Level": ("LOW = 1", "LOW = 1\n    HIGH = 2"),
    "Point": ('y: "int" = 0', 'y: "float" = 0'),
    "Slotted": ("x: int\n    colour", "x: int\n    y: int = 0\n    colour"),
    "Row": ("return self.a, self.b", "return self.b, self.a"),
    "Pair": ("left right", "left middle"),
    "Plain": ("self.a, self.__b = a, a", "self.a, self.__b = a, None"),
    "Referred": ('("__dict__", "__weakref__")', '("__dict__",)'),
    "Text": ("class Text(str)", "class Text(Plain)"),
    "WithMeta": ("return cls.__name__", "return cls"),
    "Outer": ("return 2 * self.n", "return self.n + self.n"),
    "BadInput": ("BadInput(ValueError)", "BadInput(TypeError)"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_not_alike_stays_as_it_was_sent(path: Path, sent: bytes, name: str) -> None:
    before, after = CHANGES[name]
    assert SCRIPT.count(before) == 1
    path.write_text(SCRIPT.replace(before, after))
    code = f"""
for there in codec.loads(data):
    if type(there).__name__ == {name!r}:
        print(type(there) is {name}, type(there).__module__, there)
"""
    found = script.run(path, code, stdin=sent).decode().splitlines()
    assert found
    assert all(line.startswith("False __main__ ") for line in found)


def test_reading_changes_nothing_of_the_programs_own_classes(path: Path, sent: bytes) -> None:
    code = """
Outer.made = 100
before = {name: dict(vars(kind)) for name, kind in list(globals().items()) if isinstance(kind, type)}
codec.loads(data)
for name, names in before.items():
    after = vars(globals()[name])
    assert [key for key in {*names, *after} if names.get(key) is not after.get(key)] == [], name
"""
    script.run(path, code, stdin=sent)


def test_a_shell_that_has_defined_a_class_once_more_gets_the_new_one(path: Path) -> None:
    """Also while the old one, which has sent it, is still there."""
    code = """
from tests.unit import script
old, result = Point, script.work(push())
assert type(codec.loads(result)[4]) is old
source = open(__file__).read()
exec(source[source.index("@dataclass(frozen"):source.index("@dataclass(slots")], globals())
assert Point is not old
assert type(codec.loads(result)[4]) is Point
exec(source[source.index("@dataclass(frozen"):source.index("@dataclass(slots")].replace("y:", "z:"), globals())
assert type(codec.loads(result)[4]) is old
"""
    script.run(path, code)


def test_a_worker_sees_what_a_program_has_changed_of_a_class_since(path: Path) -> None:
    code = """
import pickle
def seen():
    return Outer.made
Outer.made = 5
first = codec.dumps(seen)
Outer.made = 6
reads = (
    "import pickle, sys; from taskq.payload import codec; "
    "print([codec.loads(one)() for one in pickle.loads(sys.stdin.buffer.read())])"
)
from tests.unit import script
print(script.run(reads, stdin=pickle.dumps([first, codec.dumps(seen)])).decode())
"""
    assert script.run(path, code).decode().strip() == "[5, 6]"


def test_a_class_of_a_worker_that_nobody_has_stays_as_it_was_sent(path: Path) -> None:
    code = """
def makes():
    class Point:
        def __init__(self): self.n = 1
    return Point()
from tests.unit import script
one = codec.loads(script.work(codec.dumps(makes)))
print(one.n, type(one).__qualname__)
"""
    assert script.run(path, code).decode().strip() == "1 makes.<locals>.Point"
