#include "ledger/follow.h"

#include <stdio.h>

#define BAD(err, ...) KV_REFUSE((err), KV_E_LEDGER_RECORD, __VA_ARGS__)

bool kv_chain_prev(const struct kv_chain *chain, const struct kv_record *rec)
{
    return chain->seq == 0 ? !rec->has_prev
                           : rec->has_prev && kv_hash_equal(&rec->prev, &chain->last_leaf);
}

enum kv_code kv_chain_check(const struct kv_chain *chain, const struct kv_record *rec,
                            struct kv_err *err)
{
    if (rec->seq != chain->seq) {
        return BAD(err, "seq is %llu where %llu is due", (unsigned long long)rec->seq,
                   (unsigned long long)chain->seq);
    }
    if (!kv_chain_prev(chain, rec)) {
        return BAD(err,
                   "prev is not the hash of record %llu (that record was changed, or one is "
                   "missing)",
                   (unsigned long long)(chain->seq == 0 ? 0 : chain->seq - 1));
    }
    if (rec->ts_ms < chain->ts_ms) {
        return BAD(err, "ts is before that of the record before");
    }
    if (rec->v < chain->v) {
        return BAD(err, "v falls from %u to %u", chain->v, rec->v);
    }
    /* A record by a newer version has no event that we know. */
    bool init = rec->ev == KV_EV_LOG_INIT;
    if (rec->v <= KV_RECORD_VERSION && init != (chain->seq == 0)) {
        return BAD(err, init ? "log.init is the first record only"
                             : "the log does not begin with log.init");
    }
    return KV_OK;
}

void kv_chain_add(struct kv_chain *chain, const struct kv_record *rec, const struct kv_hash *leaf)
{
    chain->seq++;
    chain->last_leaf = *leaf;
    chain->v = rec->v;
    chain->ts_ms = rec->ts_ms;
}

enum kv_code kv_chain_vkey(const struct kv_record *init, struct kv_vkey *out, struct kv_err *err)
{
    struct kv_vkey key;
    struct kv_err why = {0};
    char origin[KV_ORIGIN_LEN + 16];
    const char *vault = kv_record_info_get_str(init, "vault");
    if (kv_vkey_parse(kv_bytes_str(kv_record_info_get_str(init, "vkey")), &key, &why) != KV_OK) {
        return BAD(err, "log.init names no key: %.100s", why.msg);
    }
    int n = snprintf(origin, sizeof origin, "%.*s/audit", (int)KV_VAULT_LEN, vault);
    struct kv_hash hash = kv_hash(kv_bytes(key.key, key.key_len));
    const struct kv_doc *doc = kv_record_doc(init, KV_DOC_PUBLIC_KEY);
    if (n < 0 || key.type != KV_VKEY_ECDSA || strcmp(key.name, origin) != 0 ||
        !kv_vault_valid(kv_bytes_str(vault)) || doc == NULL || !kv_hash_equal(&doc->hash, &hash)) {
        return BAD(err, "vault, vkey and public key of log.init do not belong together");
    }
    *out = key;
    return KV_OK;
}
