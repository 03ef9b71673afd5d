/* A signed text on its way, for vault_submit.c (judged, recorded, answered) and vault_founding.c
 * (of a vault that is not founded yet). */
#ifndef KV_AGENT_VAULT_SUBMIT_H
#define KV_AGENT_VAULT_SUBMIT_H

#include "agent/vault.h"

struct submitted {
    struct call *call; /* NULL: from the inbox */
    struct vault *vault;
    char name[256]; /* of the file in the inbox */
    uint64_t seq;
    char request[KV_ULID_LEN];
    bool repeated;
    struct kv_buf suspended; /* fields of the answer to `key compromised` */
};

void submitted_free(struct submitted *s);
/* The answer that refuses it; `s` is gone then. */
void submit_refused(struct submitted *s, enum kv_code code, const char *detail);
/* ---- vault_founding.c ---- */
/* Answers, now or when the ledger's first checkpoint stands; takes `s`. */
void submit_founding(struct submitted *s, const struct kv_submission *sub);

#endif
