"""What a node is told at its start. Every limit is a flag of `chat-node`; see design §9."""

from msgspec import Struct


class NodeConfig(Struct, frozen=True, gc=False):
    """The name and the limits of a node. Times in ms, sizes in bytes, as the names say."""

    name: str = "node"
    login_line_bytes: int = 4_096
    line_bytes: int = 65_536
    in_flight: int = 64
    sends_per_second: int = 20
    send_burst: int = 40
    failed_logins_per_minute: int = 5
    unauthenticated_per_address: int = 20
    login_ms: int = 10_000
    line_ms: int = 10_000
    ping_ms: int = 20_000
    dead_ms: int = 45_000
    stall_ms: int = 60_000
    write_buffer_bytes: int = 1_048_576
    page_entries: int = 128
    pages_in_flight: int = 64
    sweep_ms: int = 12_000
    confirm_ms: int = 2_000
    presence_flap_ms: int = 3_000
