"""Every transcript holds over real sockets: on one node with SQLite, and through nginx on two nodes
with MariaDB and Redis."""

import contextlib
from pathlib import Path

import pytest

from deploy.cluster import Cluster
from deploy.servers import MariaDb, Redis, ServerFailed
from tests import transcript
from tests.conftest import need

FILES = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))
each_transcript = pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])


class TwoNodes:
    """Two nodes behind nginx, which sends a new connection to the node with fewer. A restart
    stops both nodes, and then starts them."""

    is_cluster = True

    def __init__(self, folder: Path, database: MariaDb, bus: Redis) -> None:
        self._cluster = Cluster(folder, database=database, bus=bus)
        try:
            self._cluster.start()
        except ServerFailed:
            self._cluster.kill()
            raise
        self.port = self._cluster.port

    def restart(self) -> None:
        for node in self._cluster.nodes:
            assert node.stop() == 0
        for node in self._cluster.nodes:
            node.start()

    def close(self) -> None:
        complaints = self._cluster.stop()
        assert not complaints
        for node in self._cluster.nodes:
            assert "Traceback" not in node.log.read_text()


@each_transcript
def test_transcript_on_one_node(path: Path, tmp_path: Path) -> None:
    with contextlib.closing(transcript.OneNode(tmp_path)) as service:
        transcript.check(path, service)


@pytest.mark.servers
@each_transcript
def test_transcript_through_the_balancer_on_two_nodes(
    path: Path, tmp_path: Path, mariadb: MariaDb, redis: Redis
) -> None:
    need("nginx")
    with contextlib.closing(TwoNodes(tmp_path, mariadb, redis)) as service:
        transcript.check(path, service)
