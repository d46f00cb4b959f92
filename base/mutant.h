/* Mutants: mistakes that can be switched on one at a time, to see that the tests notice them. They
 * exist only in what tests/sim builds with SES_MUTANTS; everywhere else SES_MUTANT(X) is the
 * constant false, and the compiler leaves nothing of it behind. docs/testing.md has the table. */
#ifndef SES_BASE_MUTANT_H
#define SES_BASE_MUTANT_H

#include <stdbool.h>

/* Name, what goes wrong. */
#define SES_MUTANTS_LIST(X)                                                                        \
    X(ACK_BEFORE_SYNC, "a receipt is given before fdatasync")                                      \
    X(SYNC_ERROR_IGNORED, "an error of fdatasync is taken for success")                            \
    X(FULL_DISK_IGNORED, "a write that found no space is taken for success")                       \
    X(DIRECTORY_NOT_SYNCED, "the name of a new log is not made durable")                           \
    X(RECOVERED_NOT_SYNCED, "what recovery finds in the page cache is promised unsynced")          \
    X(LOGS_NOT_READ, "recovery believes the index and forgets the tails of logs")                  \
    X(TORN_RECORD_TAKEN, "recovery takes a torn record for a whole one")                           \
    X(ARRIVALS_START_AGAIN, "after a restart the order of arrival begins from one")                \
    X(EXPIRED_TOO_EARLY, "a segment goes an hour before it expires")                               \
    X(EXPIRED_SERVED, "what has expired is neither dropped nor left out of pages")                 \
    X(CURSOR_OFF_BY_ONE, "the cursor of a page skips the record behind it")                        \
    X(MORE_FORGOTTEN, "a full page says that nothing follows")                                     \
    X(QUORUM_LESS_ONE, "W - 1 receipts are enough")                                                \
    X(OWN_RECEIPT_EARLY, "the entry node counts its own receipt before it has it")                 \
    X(DEBT_ENDS_AT_QUORUM, "replication stops when W members have a record")                       \
    X(NO_RESCAN, "a record that a member refused is not offered again")                            \
    X(RECONNECT_FORGETS, "after a reconnect what a member lacks is not offered")                   \
    X(DEBTS_FORGOTTEN, "after a restart records that are owed are not replicated")                 \
    X(NOTHING_FETCHED, "reconciliation fetches nothing")                                           \
    X(OLD_MAP_TAKEN, "the map of an older epoch replaces a newer one")                             \
    X(PENDING_IS_STORED, "the client takes \"pending\" for \"stored\"")                            \
    X(OUTBOX_GIVES_UP, "a message whose member does not answer is dropped")                        \
    X(OUTBOX_NEW_UUID, "a message that is sealed again gets another uuid")                         \
    X(READ_ONE_LESS, "a reader asks m - W members")                                                \
    X(SILENCE_COUNTS, "a member that failed counts as one that answered")                          \
    X(REPLAYS_NOT_SEEN, "the recipient does not remember what it was handed")                      \
    X(IDS_BY_PREFIX, "records whose ids begin alike are taken for one")                            \
    X(NEVER_EARLIER, "a known record is not admitted earlier when members vouch for it")           \
    X(LATE_NOT_PASSED_ON, "what comes just before a freeze is not passed on at once")              \
    X(VOUCHERS_NOT_VERIFIED, "receipts that vouch for a late record are believed unread")          \
    X(VOUCHER_COUNTS_TWICE, "a member vouches for a record as often as it likes")                  \
    X(RECEIPT_OF_ANOTHER, "a receipt of another record counts")                                    \
    X(CLAIMS_NOT_CHECKED, "what a member gives need not be what it told of")                       \
    X(NEVER_CUT_OFF, "a member that gave another record than it told of is asked again")           \
    X(DRAWN_GIVEN, "a member is given what its running audit draws")                               \
    X(OTHERS_WITHHELD, "what an audit does not draw is withheld, too")                             \
    X(FOREIGN_SIGNATURE, "the chain does not look at a node's signature")                          \
    X(OPENINGS_NOT_CHECKED, "the chain believes any opening")                                      \
    X(ONE_NO_IS_ENOUGH, "a node that one tester did not reach counts as unreachable")              \
    X(CLOCK_IN_STATE, "the chain's state depends on the clock of the machine")                     \
    X(DELETE_UNSYNCED, "a delete is acknowledged before fdatasync")                                \
    X(DELETES_FORGOTTEN, "after a restart what statements delete is there again")                  \
    X(DELETED_COMES_BACK, "a message that comes after its delete is kept")                         \
    X(DEMAND_NOT_OWED, "the chain takes demands and forgets them")                                 \
    X(DEMAND_NOT_ANSWERED, "a node opens what is drawn, not what is demanded")                     \
    X(DEMAND_NOT_JUDGED, "the chain does not punish a demand without an answer")                   \
    X(ROT_NOT_SEEN, "the scrub reads and does not look at what it has read")                       \
    X(ANSWER_KEPT, "what a member was answered stays in memory")                                   \
    X(CACHE_WITHOUT_LIMIT, "SQLite's page caches have no limit")                                   \
    X(DEBT_LEFT, "a record that every member has is forgotten, and not freed")
enum ses_mutant {
    SES_MUTANT_NONE = 0,
#define SES_X(name, text) SES_MUTANT_##name,
    SES_MUTANTS_LIST(SES_X)
#undef SES_X
        SES_MUTANT_CNT
};

#ifdef SES_MUTANTS
extern enum ses_mutant ses_mutant_on;
#define SES_MUTANT(name) (ses_mutant_on == SES_MUTANT_##name)
/* What replication forgets, reconciliation brings: its mistakes are tried without it. */
#define SES_MUTANT_UNHEALED                                                                        \
    (SES_MUTANT(DEBT_ENDS_AT_QUORUM) || SES_MUTANT(NO_RESCAN) || SES_MUTANT(RECONNECT_FORGETS) ||  \
     SES_MUTANT(DEBTS_FORGOTTEN))
#else
#define SES_MUTANT(name) false
#define SES_MUTANT_UNHEALED false
#endif

#endif
