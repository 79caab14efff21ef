"""Let ansible-test make its virtual environments on a machine that cannot download its pip installer.

ansible-test fetches a get-pip script from one fixed host and keeps it in a cache. Where that host answers, this script
does nothing. Where it does not, it puts a stand-in into the cache that takes the pip that ships with Python.
"""

from __future__ import annotations

import pathlib
import re
import urllib.error
import urllib.request

import ansible_test

STAND_IN = '''\
"""Stand-in for get-pip: the pip that ships with Python, then what get-pip was asked to install."""
import subprocess
import sys

# As subprocesses: inside this process ensurepip would not see pip's own configuration.
subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"])
wanted = [arg for arg in sys.argv[1:] if arg not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "pip", "install"] + wanted)
'''


def main() -> None:
    """Find out which script ansible-test would download, try it, and write the stand-in if it does not come."""
    package = pathlib.Path(ansible_test.__path__[0])
    versions = (package / "_internal/python_requirements.py").read_text()
    fetcher = (package / "_util/target/setup/requirements.py").read_text()
    version = re.findall(r"pip='([\d.]+)'", versions)[0]
    url = re.findall(r"url = '(\S+)' % pip_version", fetcher)[0] % version

    cache = pathlib.Path(f"~/.ansible/test/cache/get_pip_{version.replace('.', '_')}.py").expanduser()
    if cache.exists():
        return
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except (OSError, urllib.error.URLError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_text(STAND_IN)


if __name__ == "__main__":
    main()
