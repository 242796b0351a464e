"""Mutants of the transactions, the append batch and its cache."""

from sim.mutants import Edit, Mutant

APPEND_CACHE = "chat.storage.append.cache"
FRIENDSHIPS = "chat.storage.transactions.friendships"
GROUPS = "chat.storage.transactions.groups"
LIMITS = "chat.storage.transactions.limits"
IDEMPOTENCY = "chat.storage.append.idempotency"
LOCKING = "chat.storage.append.locking"
LOG = "chat.storage.transactions.log"
ROSTERS = "chat.storage.transactions.rosters"
SPECULATION = "chat.storage.append.speculation"

MUTANTS = (
    Mutant(
        "refused-though-stored",
        "a send that is repeated after its sender lost membership is refused, though it was stored",
        (
            Edit(
                LOCKING,
                "        if first is None and refusal is not None and assume_new_keys:\n"
                "            stored |= find_keys(connection, [append])\n"
                "            first = stored.get(identity)\n",
                "        if refusal is not None:\n            first = None\n",
            ),
        ),
    ),
    Mutant(
        "no-unique-key",
        "nothing keeps a key from being stored twice",
        (
            Edit(
                "chat.storage.schema",
                '_statements(entry.read_text("utf-8"))',
                '_statements(entry.read_text("utf-8").replace("UNIQUE (sender_id, `key`)",'
                ' "UNIQUE (sender_id, `key`, seq)"))',
            ),
        ),
    ),
    Mutant(
        "keys-not-looked-up",
        "a batch that is run again after a lost reply does not look for its keys",
        (
            Edit(
                LOCKING,
                "stored = {} if assume_new_keys else find_keys(connection, appends)",
                "stored = {}",
            ),
        ),
    ),
    Mutant(
        "repeat-gets-the-head",
        "a key that was stored before is answered with the present head",
        (
            Edit(
                IDEMPOTENCY,
                "    return Appended(first_conversation, seq, at_ms, recipient, repeated=True)",
                "    seq = connection.query(\n"
                '        "SELECT head FROM conversations WHERE id = ?", (first_conversation,)\n'
                "    )[0][0]\n"
                "    return Appended(first_conversation, seq, at_ms, recipient, repeated=True)",
            ),
        ),
    ),
    Mutant(
        "head-raised-by-one",
        "the head grows by one for a batch, however many entries it brought",
        (Edit(LOCKING, "values += (*conversations, growth)", "values += (*conversations, 1)"),),
    ),
    Mutant(
        "numbers-with-a-hole",
        "a text that is refused uses up a seq all the same",
        (
            Edit(
                LOCKING,
                "        if refusal is not None:\n",
                "        if refusal is not None:\n"
                "            if destination[0] in heads:\n"
                "                heads[destination[0]] += 1\n"
                "                grown[destination[0]] = grown.get(destination[0], 0) + 1\n",
            ),
        ),
    ),
    Mutant(
        "answers-mixed-up",
        "the answers of a batch go to its sends in the wrong order",
        (
            Edit(
                LOCKING,
                "    return LockedBatch(\n        outcomes,",
                "    return LockedBatch(\n        outcomes[::-1],",
            ),
            Edit(
                SPECULATION,
                "    return Speculation(outcomes,",
                "    return Speculation(outcomes[::-1],",
            ),
        ),
    ),
    Mutant(
        "membership-outside-the-transaction",
        "membership is checked in the node's roster, and not in the transaction",
        (
            Edit(
                LOCKING,
                "        return group_refusal(role, GroupAction.GROUP_CHAT)\n",
                "        return None\n",
            ),
            Edit(
                "chat.core.requests.messaging",
                "        session.sending.add(request.key)\n",
                "        if group is not None and group not in user.groups:\n"
                "            context.reply_error(session, ErrorCode.NOT_MEMBER, request.id)\n"
                "            return\n"
                "        session.sending.add(request.key)\n",
            ),
        ),
    ),
    Mutant(
        "blocks-not-asked",
        "a text is stored though one of the two has blocked the other",
        (
            Edit(
                LOCKING,
                "DirectRole.BLOCKED_FRIEND if is_blocked else DirectRole.FRIEND",
                "DirectRole.FRIEND",
            ),
        ),
    ),
    Mutant(
        "version-not-verified",
        "a speculative batch verifies heads only, so a former member may still write",
        (
            Edit(
                SPECULATION,
                "WHEN head = ? AND access_version = ? THEN",
                "WHEN head = ? AND access_version <> -1 - ? THEN",
            ),
        ),
    ),
    Mutant(
        "version-not-raised",
        "a block does not raise the access version of the conversation of the two",
        (
            Edit(
                FRIENDSHIPS,
                '(user_id, blocked_id) VALUES (?, ?)", row)\n'
                "        _raise_access_version(connection, pair.conversation)\n",
                '(user_id, blocked_id) VALUES (?, ?)", row)\n',
            ),
        ),
    ),
    Mutant(
        "version-not-compared",
        "a batch that reads under locks takes former members for members",
        (Edit(LOCKING, "        cached - outdated,\n", "        cached,\n"),),
    ),
    Mutant(
        "writers-of-old-versions",
        "a writer at an earlier access version is cached as one at the present version",
        (
            Edit(
                APPEND_CACHE,
                "            cached.writers.clear()\n",
                "            pass\n",
            ),
        ),
    ),
    Mutant(
        "leave-not-fenced",
        "a leaving is not recorded in the group's log",
        (
            Edit(
                GROUPS,
                "    changes = [(EntryKind.LEFT, users[user])]\n    if successor is not None:\n"
                "        changes.append(",
                "    changes = []\n    if successor is not None:\n        changes.append(",
            ),
            Edit(
                GROUPS,
                "    entries = append_membership(connection, group, head, "
                "changes, operation.at_ms)\n",
                "    entries = (\n"
                "        append_membership(connection, group, head, changes, operation.at_ms)\n"
                "        if changes\n        else ()\n    )\n",
            ),
        ),
    ),
    Mutant(
        "joined-one-too-early",
        "a new member may see the last entry before the joining",
        (
            Edit(
                GROUPS,
                "(group, user, MEMBER, head + 1, head))",
                "(group, user, MEMBER, max(head, 1), head))",
            ),
        ),
    ),
    Mutant(
        "no-successor",
        "a group whose owner leaves has no owner",
        (
            Edit(
                GROUPS,
                "            (OWNER, group, successor),\n",
                "            (MEMBER, group, successor),\n",
            ),
        ),
    ),
    Mutant(
        "wrong-successor",
        "a group goes to the member who joined last",
        (Edit(GROUPS, '" ORDER BY since_seq LIMIT 1"', '" ORDER BY since_seq DESC LIMIT 1"'),),
    ),
    Mutant(
        "members-of-a-deleted-group",
        "the members of a group stay in it when it is deleted",
        (
            Edit(
                GROUPS,
                '    connection.execute("DELETE FROM members WHERE '
                'conversation_id = ?", (group,))\n',
                "",
            ),
        ),
    ),
    Mutant(
        "chat-after-friendship",
        "former friends stay members of their conversation",
        (
            Edit(
                FRIENDSHIPS,
                '        connection.execute("DELETE FROM members WHERE conversation_id = ?",'
                " (conversation,))\n",
                "        pass\n",
            ),
            Edit(
                FRIENDSHIPS,
                '"INSERT INTO members (conversation_id',
                '"INSERT OR REPLACE INTO members (conversation_id',
            ),
        ),
    ),
    Mutant(
        "friend-untouched",
        "a friendship that ends raises the version of one roster only",
        (
            Edit(
                FRIENDSHIPS,
                "    versions = raise_versions(connection, removed)\n",
                "    versions = raise_versions(connection, list(removed)[:1])\n",
            ),
        ),
    ),
    Mutant(
        "successor-untouched",
        "the roster of the user who inherits a group keeps its version",
        (
            Edit(
                GROUPS,
                "    return GroupChanged(group, entries, _changes(connection, group, changed))\n",
                "    return GroupChanged(group, entries, _changes(connection, group, (user,)))\n",
            ),
        ),
    ),
    Mutant(
        "mark-goes-back",
        "a read mark may be lowered",
        (
            Edit(LOG, "    if mark > membership.read:\n", "    if mark != membership.read:\n"),
            Edit(
                LOG,
                ' WHERE conversation_id = ? AND user_id = ? AND read_seq < ?",\n'
                "            (mark, operation.conversation, operation.user, mark),",
                ' WHERE conversation_id = ? AND user_id = ?",\n'
                "            (mark, operation.conversation, operation.user),",
            ),
        ),
    ),
    Mutant(
        "page-begins-one-too-early",
        "a page of the log begins with the entry that the reader has",
        (
            Edit(
                LOG,
                '"AND e.seq > ? AND e.seq <= ? ORDER BY e.seq LIMIT ?"',
                '"AND e.seq >= ? AND e.seq <= ? ORDER BY e.seq LIMIT ?"',
            ),
        ),
    ),
    Mutant(
        "page-from-the-end",
        "a page of the log holds the newest entries, not those after the cursor",
        (
            Edit(
                LOG,
                "    return LogRead(tuple(entries), head)\n",
                "    return LogRead(tuple(entries[1:] or entries), head)\n",
            ),
        ),
    ),
    Mutant(
        "roster-without-requests",
        "friend requests are not in the roster",
        (
            Edit(
                ROSTERS,
                "requests=tuple(requests_of.get(user, ()))",
                "requests=()",
            ),
        ),
    ),
    Mutant(
        "any-member-deletes-a-group",
        "every member may delete a group",
        (Edit(GROUPS, "    allow_group(role, GroupAction.DELETE_GROUP)\n", ""),),
    ),
    Mutant(
        "requests-unlimited",
        "the open requests that a user has made are not limited",
        (
            Edit(
                FRIENDSHIPS,
                "        check_limit(connection, made, operation.most_made, pair.user.id)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "groups-unlimited",
        "the groups that a user owns are not limited",
        (
            Edit(
                GROUPS,
                "    check_limit(connection, UserLimit.GROUPS_OWNED, operation.most_owned, user)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "one-over-the-limit",
        "a user may have one more than a limit allows",
        (
            Edit(LIMITS, "        (user, most),\n", "        (user, most + 1),\n"),
            Edit(LIMITS, "    if count >= most:\n", "    if count > most:\n"),
        ),
    ),
    Mutant(
        "refused-below-the-limit",
        "the last that a limit allows is refused",
        (Edit(LIMITS, "    if count >= most:\n", "    if count >= most - 1:\n"),),
    ),
)
