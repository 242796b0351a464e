"""All mutants, and the two runs that prove the alarm: one that must ring, one that must not."""

from sim.mutants import Edit, Mutant, client, delivery, people, remedies, storage

CANARY = Mutant(
    "canary",
    "every text is changed on its way, which nothing can fail to see",
    (Edit("chat.protocol.codec", "text=entry.text,", 'text=entry.text + "!",'),),
)
NOTHING = Mutant("nothing", "the code as it stands, which must not be caught", ())

MUTANTS = (
    *delivery.MUTANTS,
    *people.MUTANTS,
    *remedies.MUTANTS,
    *storage.MUTANTS,
    *client.MUTANTS,
)
