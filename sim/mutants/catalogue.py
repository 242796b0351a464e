"""All mutants, and the two controls: one that must be caught, and one without a bug."""

from sim.mutants import Edit, Mutant, client, delivery, people, remedies, storage

CANARY = Mutant(
    "canary",
    "every text is changed on its way, which any run must notice",
    (Edit("chat.protocol.codec", "text=entry.text,", 'text=entry.text + "!",'),),
)
NOTHING = Mutant("nothing", "the code without a bug, which must not be caught", ())

MUTANTS = (
    *delivery.MUTANTS,
    *people.MUTANTS,
    *remedies.MUTANTS,
    *storage.MUTANTS,
    *client.MUTANTS,
)
