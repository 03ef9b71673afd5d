/* Statements: the exact texts that persons sign (requests, decisions, acts). One table of keys with
 * the form of their values (policy/key_table.h) and one of line orders are the whole grammar.
 *
 * A parsed statement is one that passed, in this order: (1) its bytes, (2) its lines, (3) its
 * values. What needs more than the text itself is not judged here: (4) repetition of the recorded
 * request is kv_statement_repeats, (5) the signature policy/sshsig.h, (6) counting the fold. */
#ifndef KV_POLICY_STATEMENT_H
#define KV_POLICY_STATEMENT_H

#include "core/err.h"
#include "core/hash.h"
#include "core/name.h"
#include "policy/key_table.h"
#include "policy/word.h"

#define KV_STATEMENT_MAX      16384 /* bytes of any text */
#define KV_REQUEST_MAX        15360 /* of a request, so that a decision can repeat it */
#define KV_STATEMENT_LINE_MAX 1024  /* bytes of a line without its LF */
#define KV_ENDS_GRANTS_MAX    64
#define KV_DECISION_HEAD      12 /* lines of a decision before those of its request */
#define KV_CONFIRMATION_LEN   12 /* 3KG1J-DB0K1 and NUL */

/* Keys of lines: KV_KEY_VAULT is `vault`. Numbered keys (`person-n`) are one enum value and a
 * number from 1. */
enum kv_key {
#define KV_KEY_ENUM(name, word, form, dash) KV_KEY_##name,
    KV_KEY_NONE,
    KV_KEY_TABLE(KV_KEY_ENUM)
#undef KV_KEY_ENUM
        KV_KEY_COUNT
};
const char *kv_key_word(enum kv_key key); /* "person-" for numbered ones */
bool kv_key_numbered(enum kv_key key);
/* "max-uses" → KV_KEY_MAX_USES, 0; "person-2" → KV_KEY_PERSON_N, 2. */
bool kv_key_parse(struct kv_bytes word, enum kv_key *out, uint32_t *n);

enum kv_statement_type { KV_STATEMENT_REQUEST, KV_STATEMENT_DECISION, KV_STATEMENT_ACT };
struct kv_statement;

/* Parse the whole of `text`, which is copied; *out is owned by the caller. `line` (may be NULL) is
 * set on failure to the line that is refused, counted from 1. Errors: KV_E_STMT_TRANSIT,
 * _TOO_LONG, _LINE, _VALUE; the message names the line and, where there is one, the key. */
KV_MUST_USE enum kv_code kv_statement_parse(struct kv_bytes text, struct kv_statement **out,
                                            unsigned *line, struct kv_err *err);
void kv_statement_free(struct kv_statement *st);
void kv_statement_freep(struct kv_statement **st);

enum kv_statement_type kv_statement_type(const struct kv_statement *st);
/* The exact bytes; borrowed until the statement is freed, as all views here. */
struct kv_bytes kv_statement_text(const struct kv_statement *st);
/* SHA-256 of the exact bytes; of a request, what decisions name in `request-sha256`. */
struct kv_hash kv_statement_sha256(const struct kv_statement *st);
/* Of an act, KV_ACTION_NONE; of a decision, its request's. */
enum kv_action kv_statement_action(const struct kv_statement *st);
/* KV_ACT_NONE unless it is an act. */
enum kv_act kv_statement_act(const struct kv_statement *st);
/* Of a decision, the request that it repeats, as a statement of its own (its text begins with the
 * request's type line); of a request, itself; of an act, NULL. Borrowed. */
const struct kv_statement *kv_statement_request(const struct kv_statement *st);

/* Lines behind the type line; of a decision, those of its head. Line i of this list is line i + 2
 * of the text. */
struct kv_line {
    enum kv_key key;
    uint32_t n; /* of a numbered key, else 0 */
    struct kv_bytes value;
};
size_t kv_statement_line_count(const struct kv_statement *st);
const struct kv_line *kv_statement_line(const struct kv_statement *st, size_t i);

/* The value of `key`; of a decision, in its head (ask kv_statement_request for the rest). Empty
 * when the statement has no such line: no value is empty. "-" is returned as it is. */
struct kv_bytes kv_statement_get(const struct kv_statement *st, enum kv_key key);
/* The n-th of a numbered key, from 1. */
struct kv_bytes kv_statement_get_n(const struct kv_statement *st, enum kv_key key, uint64_t n);
/* The line exists and is not "-". */
bool kv_statement_has(const struct kv_statement *st, enum kv_key key);
/* The value as NUL-terminated text, "" for no line or "-". It must fit (assert). */
void kv_statement_copy(const struct kv_statement *st, enum kv_key key, char *buf, size_t size);

/* Typed values. False (0, KV_OP set 0, …) when there is no such line or it is "-"; the key must
 * have that form (assert). */
bool kv_statement_time(const struct kv_statement *st, enum kv_key key, int64_t *ms); /* or date */
bool kv_statement_number(const struct kv_statement *st, enum kv_key key, uint64_t *out);
bool kv_statement_hash(const struct kv_statement *st, enum kv_key key, struct kv_hash *out);
bool kv_statement_commitment(const struct kv_statement *st, enum kv_key key, struct kv_hash *out);
uint32_t kv_statement_ops(const struct kv_statement *st); /* of `operations`, 1 << enum kv_op */
bool kv_statement_yes(const struct kv_statement *st, enum kv_key key);
enum kv_duty kv_statement_duty(const struct kv_statement *st, enum kv_key key);
enum kv_decision kv_statement_decision(const struct kv_statement *st);
enum kv_seat kv_statement_seat(const struct kv_statement *st); /* `role` */

struct kv_rate {
    uint64_t count;
    int64_t per_ms; /* second, minute, hour, day */
};
bool kv_rate_parse(struct kv_bytes value, struct kv_rate *out); /* 120/h */
bool kv_statement_rate(const struct kv_statement *st, struct kv_rate *out);

struct kv_size_root {
    uint64_t size;
    struct kv_hash root;
};
bool kv_size_root_parse(struct kv_bytes value, struct kv_size_root *out);
bool kv_statement_checkpoint(const struct kv_statement *st, struct kv_size_root *out);

struct kv_target {
    enum kv_noun noun;
    struct kv_bytes id;
};
bool kv_target_parse(struct kv_bytes value, struct kv_target *out);
bool kv_statement_target(const struct kv_statement *st, struct kv_target *out);

/* One founder: `person-n`. */
struct kv_founder {
    struct kv_bytes id;
    enum kv_duty duty;
    struct kv_bytes key; /* fingerprint */
    struct kv_bytes public_key;
};
/* The n-th, from 1; false beyond the last. Only of a request of action found. */
bool kv_statement_founder(const struct kv_statement *st, uint64_t n, struct kv_founder *out);

/* `requester:` of a request: a person, an integration (id without its prefix), or nobody. */
enum kv_requester { KV_REQUESTER_NOBODY, KV_REQUESTER_PERSON, KV_REQUESTER_INTEGRATION };
enum kv_requester kv_statement_requester(const struct kv_statement *request, struct kv_bytes *id);

/* `item` is an element of the comma-separated list `list`. */
bool kv_list_has(struct kv_bytes list, struct kv_bytes item);

/* Check (4), for a decision and the recorded text of the request that it names: lines 13… are its
 * lines 2…, request-sha256 is its hash, vault, policy and request of the head are those of the
 * request. Error: KV_E_STMT_REQUEST with the line. */
KV_MUST_USE enum kv_code kv_statement_repeats(const struct kv_statement *decision,
                                              struct kv_bytes request_text, unsigned *line,
                                              struct kv_err *err);

/* The code to compare by phone: the first 50 bits of the hash, Crockford base32. */
void kv_confirmation_code(const struct kv_hash *request_sha256,
                          char out[static KV_CONFIRMATION_LEN]);

#endif
