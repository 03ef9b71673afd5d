/* A vault for the tests of the fold, driven as the live one drives it: texts are composed, signed
 * with real keys, drafted into records, judged and kept; what the agent has to write by itself is
 * asked for and written. The list of records is the ledger: a second state is made of it by
 * replay. The log's roots are a function of the size, since the fold only compares them. */
#ifndef KV_TESTS_UNIT_POLICY_WORLD_H
#define KV_TESTS_UNIT_POLICY_WORLD_H

#include "policy/compose.h"
#include "policy/state.h"
#include "tests/unit/policy/signer.h"

#define WORLD_VAULT "ksef-vault.example.com/test-world"
#define WORLD_START INT64_C(1767603600000) /* 2026-01-05T09:00:00Z */
#define WORLD_NIP   "Nip:5265877635"
#define WORLD_BLOBS 16

/* One record and the bytes of its documents. */
struct world_entry {
    struct kv_record *rec;
    struct kv_buf blob[WORLD_BLOBS];
};

/* A text with its signature, ready to be handed in. */
struct world_text {
    struct kv_buf text, signature, proof; /* proof: of a new key over the same text */
    struct kv_buf policy;                 /* behind a policy request */
    char request[KV_ULID_LEN];
    const char *integration; /* asks for itself, unsigned */
};

struct world {
    struct kv_state *state;
    struct world_entry *entry;
    size_t count, cap;
    int64_t now_ms;
    uint64_t covered;          /* of the log view, UINT64_MAX at first */
    uint64_t drawn;            /* numbers that make ids and nonces different */
    struct signer *signer[24]; /* owned */
    size_t signer_count;
    struct kv_buf policy; /* the text that was activated last, or will be next */
    struct kv_buf spki;
    char log_key[256];
    struct kv_err err; /* of the last refusal */

    /* For the next text only; zero: as usual. */
    int64_t issued_ms, not_before_ms, not_after_ms;
    char nonce[KV_NONCE_LEN];
    struct kv_size_root checkpoint;
    bool has_checkpoint;
    const char *vault;
    const char *policy_sha256;
};

/* Founded with fin-01, fin-02, cus-01, cus-02 and, without a duty, req-01. */
void world_open(struct world *w);
/* The same under this policy text. */
void world_open_with(struct world *w, const char *policy);
/* No ledger yet; people, keys and the log key are there. */
void world_open_unfounded(struct world *w, const char *policy);
void world_found(struct world *w);
void world_close(struct world *w);
extern const char world_policy[];

struct signer *world_signer(struct world *w, const char *label); /* made when it is new */
bool world_root_at(void *ctx, uint64_t size, struct kv_hash *out);
struct kv_log_view world_log(struct world *w);

/* Texts. Lines are pairs of key word and value, ended by NULL. */
void world_text_init(struct world_text *text);
void world_text_clear(struct world_text *text);
void world_request(struct world *w, struct world_text *out, const char *signer,
                   enum kv_action action, ...);
/* A new key over a request of enrolment. */
void world_prove(struct world *w, struct world_text *text, const char *signer);
/* `role`: "finance" or "custodian". */
void world_decision(struct world *w, struct world_text *out, const char *signer, const char *role,
                    enum kv_decision decision, const char *request);
/* On a request that need not be recorded. */
void world_decide(struct world *w, struct world_text *out, const char *signer, const char *role,
                  enum kv_decision decision, const struct kv_statement *request);
void world_act(struct world *w, struct world_text *out, const char *signer, enum kv_act act,
               const char *target, const char *key, const char *value);
/* Request the policy text `policy`, ending these grants (NULL: none). */
void world_policy_request(struct world *w, struct world_text *out, const char *signer,
                          const char *policy, const char *ends);

/* Fails the test with the last refusal. */
void world_must(const struct world *w, enum kv_code code);
/* Judge as the live vault does; what is accepted is kept. */
enum kv_code world_submit(struct world *w, const struct world_text *text);
/* The record is owned by the world whatever happens. */
enum kv_code world_record(struct world *w, struct kv_record *rec, const struct kv_bytes *blobs);
/* Write what is due until nothing is; makes the keys of credentials too. */
void world_due(struct world *w);

/* In one call, from request to effect; all must be accepted. fin-01 and cus-01 approve. */
void world_approve(struct world *w, const char *request);
void world_credential(struct world *w, const char *id);
void world_integration(struct world *w, const char *id, const char *uid);
/* Credential cred-1, integration erp-1 (uid 2101), a grant for both until 60 days from now. */
void world_grant(struct world *w, char id[static KV_ULID_LEN]);
/* A use of the grant with csr.sign. */
enum kv_code world_use(struct world *w, const char *grant);

/* Judge the records from the beginning in a fresh state, owned by the caller. *bad: the first
 * that is refused, or the count. */
struct kv_state *world_replay(struct world *w, size_t *bad, struct kv_err *err);

#endif
