"""The configuration of a node. Each limit, that is each field with a number, is a flag of
`chat-node`."""

from typing import Annotated

from msgspec import Meta, Struct


class NodeConfig(Struct, frozen=True, gc=False):
    """The name and the limits of a node. Times in ms, sizes in bytes, as the names say."""

    name: Annotated[str, Meta(description="what the node calls itself")] = "node"
    alone: Annotated[bool, Meta(description="no other node is on its bus")] = False
    login_line_bytes: Annotated[int, Meta(description="longest line before login")] = 4_096
    line_bytes: Annotated[int, Meta(description="longest line after login")] = 65_536
    in_flight: Annotated[int, Meta(description="sends of a connection under way at once")] = 64
    request_quantum: Annotated[
        int, Meta(description="requests taken in one event before other connections are served")
    ] = 16
    sends_per_second: Annotated[int, Meta(description="sends of a user over time")] = 20
    send_burst: Annotated[int, Meta(description="sends of a user at once after a pause")] = 40
    cost_per_second: Annotated[
        int, Meta(description="cost of a user's other requests over time")
    ] = 20
    cost_burst: Annotated[
        int, Meta(description="cost of a user's other requests at once after a pause")
    ] = 400
    rows_per_cost: Annotated[int, Meta(description="rows in a reply that cost 1 more")] = 20
    lines_per_second: Annotated[
        int, Meta(description="lines of a connection over time; what comes faster is read later")
    ] = 100
    line_burst: Annotated[int, Meta(description="lines of a connection at once after a pause")] = (
        400
    )
    registrations_per_minute: Annotated[
        int, Meta(description="accounts that an address may register over time")
    ] = 60
    registration_burst: Annotated[
        int, Meta(description="accounts that an address may register at once after a pause")
    ] = 10
    logins_per_second: Annotated[
        int, Meta(description="passwords from an address that are checked over time; others wait")
    ] = 20
    login_burst: Annotated[
        int, Meta(description="passwords from an address that are checked at once after a pause")
    ] = 100
    password_hashes: Annotated[int, Meta(description="passwords that are hashed at once")] = 2
    failed_resumes_per_minute: Annotated[
        int, Meta(description="resumes from an address with a wrong token")
    ] = 60
    open_requests_made: Annotated[
        int, Meta(description="unanswered friend requests that a user may have made")
    ] = 100
    open_requests_received: Annotated[
        int, Meta(description="unanswered friend requests that a user may have received")
    ] = 200
    groups_owned: Annotated[int, Meta(description="groups that a user who creates one may own")] = (
        100
    )
    groups_joined: Annotated[
        int, Meta(description="groups that a user who creates or joins one may be a member of")
    ] = 500
    failed_logins_per_minute: Annotated[
        int, Meta(description="failed logins of an account from an address")
    ] = 5
    connections: Annotated[
        int, Meta(description="connections of the node; never more than its files allow")
    ] = 100_000
    connections_per_address: Annotated[
        int, Meta(description="connections of an address; never more than 3 in 4 of all")
    ] = 20_000
    connections_per_user: Annotated[
        int, Meta(description="connections of a user; never more than 1 in 4 of all")
    ] = 50
    connections_per_device: Annotated[int, Meta(description="connections with the same token")] = 8
    unauthenticated_per_address: Annotated[
        int, Meta(description="connections of an address that are not logged in")
    ] = 20
    login_ms: Annotated[int, Meta(description="time to log in or register")] = 10_000
    line_ms: Annotated[int, Meta(description="time to finish a started line")] = 10_000
    ping_ms: Annotated[int, Meta(description="silence after which a peer is pinged")] = 20_000
    dead_ms: Annotated[int, Meta(description="silence after which a peer is cut off")] = 45_000
    reply_ping_ms: Annotated[
        int, Meta(description="time after which a peer that waits for a reply is sent a ping")
    ] = 1_000
    finish_ms: Annotated[
        int, Meta(description="time that a peer which ended its input may wait for its replies")
    ] = 5_000
    stall_ms: Annotated[
        int, Meta(description="time a full outbound buffer may stand without progress")
    ] = 60_000
    write_buffer_bytes: Annotated[
        int, Meta(description="outbound buffer of a connection at which it counts as full")
    ] = 1_048_576
    page_entries: Annotated[int, Meta(description="entries in one read of a log")] = 128
    pages_in_flight: Annotated[int, Meta(description="reads of logs under way at once")] = 2
    anti_entropy_ms: Annotated[
        int, Meta(description="time in which all heads are compared with the store")
    ] = 20_000
    confirm_ms: Annotated[
        int, Meta(description="how long a login waits for the bus to confirm a channel")
    ] = 2_000
    presence_flap_ms: Annotated[
        int, Meta(description="absence after which friends are told that a user left")
    ] = 3_000
