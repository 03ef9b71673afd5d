/* The texts of a founding, in a folder that people carry to each other: the request, one statement
 * for each founder, the policy, the log's key, and what to do. */
#ifndef KV_CLI_FOUNDING_H
#define KV_CLI_FOUNDING_H

#include "cli/cli.h"
#include "policy/pubkey.h"
#include "policy/ruleset.h"

#define FOUNDERS_MAX   64
#define FOUNDING_HOURS 72

struct founder {
    char id[KV_ID_LEN];
    enum kv_duty duty; /* finance, custodian, or none: the requester of a TEST vault */
    struct kv_pubkey key;
};

struct founding {
    bool test;
    enum kv_lang lang;
    struct founder *founders; /* owned */
    size_t count;
    struct kv_buf policy; /* the text */
    struct kv_ruleset rules;
    char vault[KV_VAULT_LEN];
    const char *log_key; /* vkey text; borrowed from the agent's answer */
    int64_t now_ms;
};

/* `finance-fin-01.txt`; NULL for one who decides nothing. Owned by the caller. */
char *founding_file(const struct kv_founder *founder);
/* The request of `founding`; *out is owned by the caller. */
KV_MUST_USE enum kv_code founding_compose(const struct founding *founding,
                                          struct kv_statement **out, struct kv_err *err);
/* Write the whole folder `dir`, which must not exist or be empty. */
KV_MUST_USE enum kv_code founding_write(const struct founding *founding, const char *dir,
                                        const struct kv_statement *request, struct kv_err *err);
/* The ceremony's script, for people. */
void founding_script(const struct kv_statement *request, const char *dir, struct kv_buf *out);

#endif
