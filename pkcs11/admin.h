/* Administration of slots, for the CLI. A module is foreign code that may crash, hang or leave
 * files behind, so each call runs in a forked child: under the keeper's account if the caller is
 * root (what the module writes then belongs to the keeper), with a deadline, in its own session, so
 * that Ctrl-C never cuts a login in two. Why C_* and not libp11: docs/decisions/0003. */
#ifndef KV_PKCS11_ADMIN_H
#define KV_PKCS11_ADMIN_H

#include "pkcs11/token.h"

#include <sys/types.h>

/* Whose account and surroundings the module gets. */
struct kv_slot_account {
    const char *const *env; /* NAME=VALUE, NULL-terminated; may be NULL */
    uid_t uid;              /* used by root only; others stay who they are */
    gid_t gid;
};

struct kv_slot_info {
    uint64_t id;
    bool present; /* a token is in the slot; else the texts are empty */
    bool initialised;
    bool user_pin_set;
    char label[33];
    char manufacturer[33];
    char model[17];
    char serial[17];
    char uri[512]; /* RFC 7512; "" if the token is not initialised */
};

/* How a token is opened to be checked: by a PKCS#11 profile, or, if that is NULL, by `open`, which
 * is called in the child. Borrowed. */
struct kv_slot_opener {
    const struct kv_pkcs11_profile *profile;
    enum kv_code (*open)(const void *arg, const struct kv_secret *pin, struct kv_token **out,
                         struct kv_err *err);
    const void *arg;
};

/* One result of kv_slot_check. */
struct kv_slot_row {
    char what[64];
    bool ok;
    char detail[256];
};

/* Call `each` for every slot of the module. Errors: KV_E_TOKEN_TIMEOUT (the child was killed),
 * KV_E_TOKEN_MODULE (not loadable, or it crashed). */
KV_MUST_USE enum kv_code kv_slot_list(const char *module, const char *init_args,
                                      const struct kv_slot_account *account, int timeout_ms,
                                      void (*each)(const struct kv_slot_info *slot, void *arg),
                                      void *arg, struct kv_err *err);
/* Initialise the first slot without an initialised token; profile->uri is not used. `label`: 1 to
 * 32 visible ASCII characters. Errors: KV_E_TOKEN_INITIALISED (the label is taken; nothing was
 * changed), KV_E_TOKEN_ABSENT (no slot is free), and those of the module. */
KV_MUST_USE enum kv_code kv_slot_init(const struct kv_pkcs11_profile *profile,
                                      const struct kv_slot_account *account, const char *label,
                                      const struct kv_secret *so_pin,
                                      const struct kv_secret *user_pin, struct kv_err *err);
/* Log in (`pin` NULL: at the token's own pad), tell the module and the token's `uri` (PKCS#11),
 * make keys `ksefvault-probe-…`, sign with every mechanism, verify outside, destroy the keys (also
 * those that an earlier check left). `each` gets every row, also when a later step fails. KV_OK iff
 * every row is ok; else the code of the first that is not. */
KV_MUST_USE enum kv_code kv_slot_check(const struct kv_slot_opener *opener,
                                       const struct kv_slot_account *account,
                                       const struct kv_secret *pin,
                                       void (*each)(const struct kv_slot_row *row, void *arg),
                                       void *arg, struct kv_err *err);

#endif
