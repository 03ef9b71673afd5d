/* The configuration, /etc/ksefvault/ksefvault.yaml: what the host's administrator decides. It holds
 * no secret and no permission: those are the slot's and the ledger's. Read by the supervisor (which
 * hands each child only its part) and by the CLI. */
#ifndef KV_CORE_CONFIG_H
#define KV_CORE_CONFIG_H

#include "core/err.h"
#include "core/hash.h"
#include "core/name.h"

#define KV_CONFIG_PATH      "/etc/ksefvault/ksefvault.yaml"
#define KV_SOCKET_PATH      "/run/ksefvault/agent.sock"
#define KV_CONFIG_SLOTS_MAX 8

/* A slot's PIN that is entered at the device itself (CKF_PROTECTED_AUTHENTICATION_PATH), and one
 * that root hands over at each start (`ksefvault slot unlock --prompt`). */
#define KV_CONFIG_PIN_PROTECTED "protected"
#define KV_CONFIG_PIN_PROMPT    "prompt"

struct kv_config_slot {
    char *name;          /* id */
    char *module;        /* absolute path of the PKCS#11 module; NULL: a TPM */
    char *module_sha256; /* hex, or NULL */
    char *uri;           /* PKCS#11 URI of the token; NULL: a TPM */
    char *tpm;           /* the way to the TPM (TCTI); NULL: a PKCS#11 token */
    char *tpm_roots;     /* PEM file of those who vouch for TPMs, or NULL */
    char *init_args;     /* pReserved of C_Initialize, or NULL */
    char **environment;  /* NAME=VALUE */
    unsigned environment_count;
    char **readable; /* absolute paths that the sandbox opens for reading, beside the system's */
    unsigned readable_count;
    char **writable; /* absolute paths that the sandbox opens for writing */
    unsigned writable_count;
    char *network; /* none, unix:PATH, tcp:HOST:PORT, usb; NULL is none */
    char *pin;     /* file:PATH, credential:NAME, sealed:PATH, or one of the words above */
    char *pin_tpm; /* the way to the TPM that a sealed PIN is opened in; NULL: that of the slot */
};

struct kv_config_ksef {
    char *environment;       /* test, demo, prod */
    char *url;               /* https://host[:port]/v2 */
    char *ca_file;           /* PEM, or NULL: the system's */
    char *proxy;             /* http://host:port, or NULL */
    char *allowed_ips;       /* challenge, or IPv4 addresses, ranges, networks; NULL: not limited */
    char *proxy_credentials; /* file:PATH or credential:NAME of `user:password`, or NULL */
};

struct kv_config {
    char *vault;    /* name */
    char *state;    /* folder of ledger, keeper, inbox; /var/lib/ksefvault */
    char *socket;   /* of the API */
    char *log_slot; /* name of the slot with the ledger's key */
    struct kv_config_slot *slots;
    unsigned slots_count;
    struct kv_config_ksef *ksef;
    /* Accounts of the programs, by name; NULL: ksefvault, ksefvault-gate, … */
    char *user_vault, *user_gate, *user_keeper, *user_courier;
};

/* Read and check the file; *out is owned by the caller. Errors: KV_E_CONFIG with the file, line and
 * key in the message; KV_E_IO. `digest` (may be NULL) gets the SHA-256 of its bytes. */
KV_MUST_USE enum kv_code kv_config_load(const char *path, struct kv_config **out,
                                        struct kv_hash *digest, struct kv_err *err);
void kv_config_free(struct kv_config *config);
void kv_config_freep(struct kv_config **config);
/* NULL if there is no slot of that name. */
const struct kv_config_slot *kv_config_slot(const struct kv_config *config, const char *name);

/* The way to the TPM that the slot's PIN is sealed in; NULL: it is not sealed. */
const char *kv_config_pin_tpm(const struct kv_config_slot *slot);
/* Where root hands over a slot's PIN: a pipe beside the agent's socket, as long as that takes.
 * False: it does not fit. */
bool kv_config_prompt_path(const struct kv_config *config, const char *slot, char *out,
                           size_t size);
/* The folder of a TPM slot's key files; of slot "", the one that those of all lie in. False: it
 * does not fit. */
bool kv_config_tpm_folder(const char *state, const char *slot, char *out, size_t size);

#endif
