"""All mutants, and the two controls: one that must be caught, and one without a bug."""

from sim.mutants import Edit, Mutant, client, delivery, limits, requests, roster, storage, upkeep

CANARY = Mutant(
    "canary",
    "every text is changed on its way, which any run must notice",
    (Edit("chat.core.delivery.entry_json", "text=entry.text,", 'text=entry.text + "!",'),),
)
NOTHING = Mutant("nothing", "the code without a bug, which must not be caught", ())

MUTANTS = (
    *requests.MUTANTS,
    *delivery.MUTANTS,
    *roster.MUTANTS,
    *upkeep.MUTANTS,
    *limits.MUTANTS,
    *storage.MUTANTS,
    *client.MUTANTS,
)
