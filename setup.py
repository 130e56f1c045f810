"""Which packages the wheel holds, and where: `pope_rl`, with the six rooms below `pope_rl/rooms`.

pyproject.toml holds everything else. `deploy/launcher/__init__.py` says why.
"""

from setuptools import find_packages, setup

ROOMS = ("actors", "broker", "conf", "deploy", "learner", "preprocess")
PREFIX = "pope_rl.rooms."

packages = find_packages(include=[pattern for room in ROOMS for pattern in (room, f"{room}.*")])

setup(
    packages=["pope_rl", *(PREFIX + package for package in packages)],
    package_dir={"pope_rl": "deploy/launcher"}
    | {PREFIX + package: package.replace(".", "/") for package in packages},
    package_data={
        "pope_rl": ["py.typed"],
        PREFIX + "broker": ["lua/**/*.lua"],
        PREFIX + "conf": ["**/*.yaml"],
        PREFIX + "deploy.dashboard": ["assets/**", "grafana/**"],
        PREFIX + "deploy.report": ["template/*"],
    },
)
