"""Mutants of requests: the scheduler, authentication, sends and their replies."""

from sim.mutants import Edit, Mutant

AUTHENTICATION = "chat.core.requests.authentication"
FRAMES = "chat.protocol.frames"
CALLS = "chat.core.requests.calls"
MESSAGING = "chat.core.requests.messaging"
SCHEDULER = "chat.core.requests.scheduler"
_ASK = (
    "        pending = _PendingSend(self, session, request.id, user.name, append)\n"
    "        context.query(append, pending, session)\n"
)

MUTANTS = (
    Mutant(
        "ack-before-commit",
        "a group text is answered by `sent` when the store is asked, not when it has answered",
        (
            Edit(
                MESSAGING,
                _ASK,
                "        guess = self._fan_out._streams.conversations.get(group or 0)\n"
                "        asking = session\n"
                "        if guess is not None:\n"
                '            asking = Session(0, "", 0)\n'
                "            asking.step(Input.CONNECTION_LOST, 0)\n"
                "        context.query("
                "append, _PendingSend(self, asking, request.id, user.name, append), session)\n"
                "        if guess is not None:\n"
                "            session.sending.discard(request.key)\n"
                "            sent = encode_sent(request.id, guess.id, guess.head + 1, now_ms)\n"
                "            context.reply(session, sent)\n",
            ),
        ),
    ),
    Mutant(
        "publish-before-commit",
        "a group text is published when the store is asked, under the seq it will get",
        (
            Edit(
                MESSAGING,
                _ASK,
                _ASK + "        guess = self._fan_out._streams.conversations.get(group or 0)\n"
                "        if guess is not None:\n"
                "            early = LogEntry(guess.id, guess.head + 1, _TEXT, "
                "user.id, user.name,\n"
                "                request.text, now_ms, request.key)\n"
                "            context.publish((group_channel(guess.id),), EntryBusMessage(early))\n",
            ),
        ),
    ),
    Mutant(
        "lost-reply-is-failure",
        "a write whose commit is unknown is answered by an error",
        (
            Edit(
                CALLS,
                "            call.close()\n",
                "            call.refuse(Refusal(ErrorCode.FORBIDDEN))\n",
            ),
            Edit(
                MESSAGING,
                "                context.close(session, Input.ANSWER_UNKNOWN)\n",
                "                context.reply_error(session, ErrorCode.FORBIDDEN, re)\n",
            ),
        ),
    ),
    Mutant(
        "subscribe-after-read",
        "the user's channel is subscribed to after the roster and its heads were read",
        (
            Edit(
                "chat.core.requests.authentication",
                "        channel = session.channel = user_channel(user_id)\n"
                "        self._subscriptions.need(channel)\n"
                "        yield from call.subscribed(channel)\n",
                "        yield from ()\n",
            ),
            Edit(
                "chat.core.requests.authentication",
                "        session.token = token\n",
                "        session.token = token\n"
                "        session.channel = user_channel(user.id)\n"
                "        self._subscriptions.need(session.channel)\n",
            ),
        ),
    ),
    Mutant(
        "channel-kept",
        "the channel of a user who was refused or has left is subscribed to for ever",
        (
            Edit(
                AUTHENTICATION,
                "            self._subscriptions.release(session.channel)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "still-authenticating",
        "a connection that ends while it authenticates counts as authenticating for ever",
        (
            Edit(
                AUTHENTICATION,
                "        if user is not None and not user.sessions:\n"
                "            self._presence.went(user)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "frame-cut-wrong",
        "a line that comes in pieces is searched from the wrong place",
        (Edit(FRAMES, "            self._scanned -= start\n", ""),),
    ),
    Mutant(
        "http-goes-on",
        "a line that begins as HTTP or TLS does is one more line that is no frame",
        (
            Edit(
                FRAMES,
                "    return _OTHER_PROTOCOL.match(data, start) is not None\n",
                "    return False\n",
            ),
        ),
    ),
    Mutant(
        "line-limit-misread",
        "a line may be no longer after login than before",
        (
            Edit(
                SCHEDULER,
                "line = session.frames.take(self._line_bytes[session.state])",
                "line = session.frames.take(256 if session.user else 4_096)",
            ),
        ),
    ),
    Mutant(
        "deferred-for-good",
        "a connection that exceeds its quantum is never served again",
        (
            Edit(
                SCHEDULER,
                "        if self._deferred and not self._armed:\n",
                "        if False:\n",
            ),
        ),
    ),
    Mutant(
        "deferred-though-closed",
        "a connection that is gone stays among the deferred ones",
        (Edit(SCHEDULER, "        self._deferred.pop(session.connection, None)\n", ""),),
    ),
    Mutant(
        "refused-though-in-the-log",
        "a send is refused, though its entry was delivered, because its sender has left meanwhile",
        (
            Edit(
                MESSAGING,
                "            self._fan_out.appended("
                "session if answerable else None, entry, sent)\n",
                "            away = answerable and conversation not in session.conversations\n"
                "            if away:\n"
                "                context.reply_error(session, ErrorCode.FORBIDDEN, re)\n"
                "            there = answerable and not away\n"
                "            self._fan_out.appended(session if there else None, entry, sent)\n",
            ),
        ),
    ),
    Mutant(
        "reading-never-resumed",
        "a peer that was not read from while its buffer was full is never read from again",
        (
            Edit(
                SCHEDULER,
                "        if pause != session.reading_paused:\n",
                "        if pause and not session.reading_paused:\n",
            ),
        ),
    ),
    Mutant(
        "drain-cuts-off",
        "a node that drains cuts connections off, with the loss of their buffers",
        (
            Edit(
                SCHEDULER,
                "            self._context.close(session, Input.FINISHED)\n",
                "            self._context.close(session, Input.FINISHED, abort=True)\n",
            ),
        ),
    ),
    Mutant(
        "drain-does-not-wait",
        "a node that drains closes connections whose requests it has not answered yet",
        (
            Edit(
                SCHEDULER,
                "        if not session.under_way:\n"
                "            self._context.close(session, Input.FINISHED)\n",
                "        self._context.close(session, Input.FINISHED)\n",
            ),
        ),
    ),
)
