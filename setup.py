"""What pyproject.toml cannot say: which parts are compiled.

The environment variable VROUTER_CYTHON decides:

    auto       (the default) compiled where Cython and a C compiler are there; otherwise pure Python, with a notice
    require    compiled, or the build fails
    skip       pure Python; what an earlier build left in the source tree is removed

Every compiled module has a twin in Python that gives the same answers; `vrouter --version` tells which ones are in use.
"""

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

MODES = ("auto", "require", "skip")
MODULES = ("vrouter.stack.l3._lpm",)


def notice(text: str) -> None:
    print(f"vrouter: {text}: what could be compiled stays Python (VROUTER_CYTHON=auto)", file=sys.stderr)


class Compile(build_ext):
    """A compiler that fails is told of in one line."""

    def build_extension(self, ext: Extension) -> None:
        try:
            super().build_extension(ext)
        except Exception as error:
            if not ext.optional:
                raise
            reason = str(error).strip().splitlines()[-1][-200:]
            notice(f"{ext.name} could not be compiled, for which gcc and python3-dev are needed ({reason})")


def extensions(mode: str) -> list[Extension]:
    """What is to be compiled in this mode."""
    if mode not in MODES:
        raise SystemExit(f"VROUTER_CYTHON={mode}: it is one of {', '.join(MODES)}")
    paths = {name: Path(*name.split(".")) for name in MODULES}
    if mode == "skip":
        for path in paths.values():
            for built in path.parent.glob(f"{path.name}.*.so"):
                built.unlink()
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        if mode == "require":
            raise SystemExit("VROUTER_CYTHON=require: there is no Cython (pip install 'cython>=3.1')") from None
        notice("there is no Cython")
        return []
    sources = [Extension(name, [f"{path}.pyx"]) for name, path in paths.items()]
    made = cythonize(sources, build_dir="build/cython", language_level=3, quiet=True)
    for extension in made:
        extension.optional = mode == "auto"
    return made


setup(ext_modules=extensions(os.environ.get("VROUTER_CYTHON") or "auto"), cmdclass={"build_ext": Compile})
