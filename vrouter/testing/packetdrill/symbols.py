"""The names of a script and their numbers, which are Linux's."""

from __future__ import annotations

import ast
import errno
import socket
from typing import Final

from vrouter.testing.packetdrill.script import LinuxOnly, Word

# What Python's socket module has no name for, or not everywhere.
_MORE: Final[dict[str, int]] = {
    "O_RDONLY": 0,
    "O_WRONLY": 1,
    "O_RDWR": 2,
    "O_NONBLOCK": 0o4000,
    "F_GETFL": 3,
    "F_SETFL": 4,
    "SIOCINQ": 0x541B,
    "FIONREAD": 0x541B,
    "SIOCOUTQ": 0x5411,
    "SIOCOUTQNSD": 0x894B,
    "POLLIN": 1,
    "POLLPRI": 2,
    "POLLOUT": 4,
    "POLLERR": 8,
    "POLLHUP": 16,
    "POLLNVAL": 32,
    "POLLRDHUP": 0x2000,
    "EPOLLIN": 1,
    "EPOLLPRI": 2,
    "EPOLLOUT": 4,
    "EPOLLERR": 8,
    "EPOLLHUP": 16,
    "EPOLLRDHUP": 0x2000,
    "EPOLLET": 1 << 31,
    "EPOLLONESHOT": 1 << 30,
    "EPOLLEXCLUSIVE": 1 << 28,
    "EPOLL_CTL_ADD": 1,
    "EPOLL_CTL_DEL": 2,
    "EPOLL_CTL_MOD": 3,
    "SOL_IP": 0,
    "SOL_TCP": 6,
    "SOL_UDP": 17,
    "SOL_IPV6": 41,
    "MSG_FASTOPEN": 0x20000000,
    "MSG_NOSIGNAL": 0x4000,
    "MSG_MORE": 0x8000,
    "IP_MTU_DISCOVER": 10,
    "IP_PMTUDISC_DONT": 0,
    "IP_PMTUDISC_WANT": 1,
    "IP_PMTUDISC_DO": 2,
    "IP_PMTUDISC_PROBE": 3,
    "IP_MTU": 14,
    "IP_FREEBIND": 15,
    "IPV6_MTU_DISCOVER": 23,
    "SO_MAX_PACING_RATE": 47,
    "TCP_FASTOPEN": 23,
    "TCP_TIMESTAMP": 24,
    "TCP_NOTSENT_LOWAT": 25,
    "TCP_CC_INFO": 26,
    "TCP_FASTOPEN_CONNECT": 30,
    "TCP_FASTOPEN_KEY": 33,
    "TCP_FASTOPEN_NO_COOKIE": 34,
    "TCP_INQ": 36,
    "TCP_CM_INQ": 36,
}
TCP_INFO: Final[dict[str, int]] = {
    "TCP_CA_Open": 0,
    "TCP_CA_Disorder": 1,
    "TCP_CA_CWR": 2,
    "TCP_CA_Recovery": 3,
    "TCP_CA_Loss": 4,
    "TCPI_OPT_TIMESTAMPS": 1,
    "TCPI_OPT_SACK": 2,
    "TCPI_OPT_WSCALE": 4,
    "TCPI_OPT_ECN": 8,
    "TCPI_OPT_ECN_SEEN": 16,
    "TCPI_OPT_SYN_DATA": 32,
    "TCP_INFINITE_SSTHRESH": 0x7FFFFFFF,
    "TCP_ESTABLISHED": 1,
    "TCP_SYN_SENT": 2,
    "TCP_SYN_RECV": 3,
    "TCP_FIN_WAIT1": 4,
    "TCP_FIN_WAIT2": 5,
    "TCP_TIME_WAIT": 6,
    "TCP_CLOSE": 7,
    "TCP_CLOSE_WAIT": 8,
    "TCP_LAST_ACK": 9,
    "TCP_LISTEN": 10,
    "TCP_CLOSING": 11,
}
_PREFIXES: Final = ("AF_", "SOCK_", "IPPROTO_", "SO_", "SOL_", "TCP_", "IP_", "IPV6_", "MSG_", "SHUT_", "PF_")
# What only a kernel has: buffers shared with a program, its error queue's news of sending, authentication by MD5 …
_FOREIGN: Final = (
    "ZEROCOPY",
    "ERRQUEUE",
    "TIMESTAMPING",
    "MSG_EOR",
    "MD5",
    "PSP",
    "SO_TXTIME",
    "SPLICE",
    "TIMESTAMPNS",
)


def number(word: Word) -> int:
    """The number of a name, or of names joined by ``|``; LinuxOnly when there is none here."""
    total = 0
    for name in word.text.split("|"):
        total |= int(name, 0) if name[0].isdigit() else _one(name)
    return total


def _one(name: str) -> int:
    if any(part in name for part in _FOREIGN):
        raise LinuxOnly(name)
    if name in _MORE:
        return _MORE[name]
    value = getattr(socket, name, None) if name.startswith(_PREFIXES) else None
    if value is None:
        value = TCP_INFO.get(name)
    if value is None:
        raise LinuxOnly(f"the name {name}")
    return int(value)


def errno_of(name: str) -> int:
    """The number of ``ECONNRESET`` and the like."""
    value = getattr(errno, name, None)
    if value is None:
        raise LinuxOnly(f"the error {name}")
    return int(value)


def errno_name(code: int) -> str:
    """``ECONNRESET``."""
    return errno.errorcode.get(code, str(code))


class CodeError(Exception):
    """An assertion of a script that does not hold, or code that is none of the subset."""


_OPERATORS: Final[dict[type[ast.AST], object]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Div: lambda a, b: a / b,
    ast.Mod: lambda a, b: a % b,
    ast.BitAnd: lambda a, b: a & b,
    ast.BitOr: lambda a, b: a | b,
    ast.LShift: lambda a, b: a << b if b < 128 else 0,
    ast.RShift: lambda a, b: a >> b,
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
}


def run_code(text: str, names: dict[str, int], out: list[str]) -> None:
    """Hold the assertions of a piece of code; what it prints is added to `out`.

    The code is read as Python and walked, never executed: ``assert``, ``print`` and assignments, of names, numbers,
    texts, and what can be reckoned and compared of them. CodeError otherwise, and when one does not hold.
    """
    known = dict(names)
    lines = [line.strip() for line in text.replace("\\\n", " ").splitlines()]
    try:
        tree = ast.parse("\n".join(line for line in lines if line))
    except SyntaxError as error:
        raise CodeError(f"not understood: {error.msg}: {(error.text or '').strip()}") from None
    for statement in tree.body:
        _statement(statement, known, out)


def _statement(node: ast.stmt, names: dict[str, int], out: list[str]) -> None:
    if isinstance(node, ast.Assert):
        if not _value(node.test, names):
            told = "" if node.msg is None else f" ({_value(node.msg, names)})"
            raise CodeError(f"{ast.unparse(node.test)} does not hold{told}")
    elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        names[node.targets[0].id] = _value(node.value, names)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        call = node.value
        if not (isinstance(call.func, ast.Name) and call.func.id == "print" and not call.keywords):
            raise CodeError(f"{ast.unparse(call)}: only print can be called")
        out.append(" ".join(str(_value(argument, names)) for argument in call.args))
    else:
        raise CodeError(f"{ast.unparse(node)}: neither an assertion nor an assignment")


def _value(node: ast.expr, names: dict[str, int]) -> int:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | str | float):
        return node.value  # type: ignore[return-value]  # a text is only printed
    if isinstance(node, ast.Name):
        if node.id not in names:
            raise CodeError(f"there is no {node.id}")
        return names[node.id]
    if isinstance(node, ast.UnaryOp):
        value = _value(node.operand, names)
        if isinstance(node.op, ast.Not):
            return not value
        return -value if isinstance(node.op, ast.USub) else ~value if isinstance(node.op, ast.Invert) else value
    if isinstance(node, ast.BoolOp):
        results = (_value(part, names) for part in node.values)
        return all(results) if isinstance(node.op, ast.And) else any(results)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _apply(node.op, _value(node.left, names), _value(node.right, names))
    if isinstance(node, ast.Compare):
        left = _value(node.left, names)
        for operator, comparator in zip(node.ops, node.comparators, strict=True):
            if type(operator) not in _OPERATORS:
                break
            right = _value(comparator, names)
            if not _apply(operator, left, right):
                return False
            left = right
        else:
            return True
    raise CodeError(f"{ast.unparse(node)} is not understood")


def _apply(operator: ast.AST, left: int, right: int) -> int:
    try:
        return _OPERATORS[type(operator)](left, right)  # type: ignore[operator,no-any-return]  # of the table above
    except (TypeError, ZeroDivisionError, ValueError) as error:
        raise CodeError(str(error)) from None
