"""What there is twice, interpreted and compiled: tests of the one are tests of the other."""

import pytest

from vrouter.stack.l3.fib import COMPILED, INDEX
from vrouter.stack.l3.lpm import Lpm

_built = pytest.mark.skipif(not COMPILED, reason="vrouter was built without its compiled parts (VROUTER_CYTHON)")

both_twins = pytest.mark.parametrize(
    "index", [pytest.param(Lpm, id="pure"), pytest.param(INDEX, id="compiled", marks=_built)]
)
