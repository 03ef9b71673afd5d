#include "core/config.h"

#include "core/buf.h"
#include "core/parse.h"
#include "core/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CONFIG_BYTES_MAX 65536
#define TEXT_MAX         1024

#define TEXT(key, type, member)                                                                    \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER, type, member, 1, TEXT_MAX)
#define TEXT_OPT(key, type, member)                                                                \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, member, 1, TEXT_MAX)

static const cyaml_schema_value_t text_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, TEXT_MAX),
};
#define TEXTS_OPT(key, type, member)                                                               \
    CYAML_FIELD_SEQUENCE(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, member,              \
                         &text_schema, 0, 16)

static const cyaml_schema_field_t slot_fields[] = {
    TEXT("name", struct kv_config_slot, name),
    TEXT_OPT("module", struct kv_config_slot, module),
    TEXT_OPT("module-sha256", struct kv_config_slot, module_sha256),
    TEXT_OPT("uri", struct kv_config_slot, uri),
    TEXT_OPT("tpm", struct kv_config_slot, tpm),
    TEXT_OPT("tpm-roots", struct kv_config_slot, tpm_roots),
    TEXT_OPT("init-args", struct kv_config_slot, init_args),
    TEXTS_OPT("environment", struct kv_config_slot, environment),
    TEXTS_OPT("readable", struct kv_config_slot, readable),
    TEXTS_OPT("writable", struct kv_config_slot, writable),
    TEXT_OPT("network", struct kv_config_slot, network),
    TEXT("pin", struct kv_config_slot, pin),
    TEXT_OPT("pin-tpm", struct kv_config_slot, pin_tpm),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t slot_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct kv_config_slot, slot_fields),
};
static const cyaml_schema_field_t ksef_fields[] = {
    TEXT("environment", struct kv_config_ksef, environment),
    TEXT("url", struct kv_config_ksef, url),
    TEXT_OPT("ca-file", struct kv_config_ksef, ca_file),
    TEXT_OPT("proxy", struct kv_config_ksef, proxy),
    TEXT_OPT("proxy-credentials", struct kv_config_ksef, proxy_credentials),
    TEXT_OPT("allowed-ips", struct kv_config_ksef, allowed_ips),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t config_fields[] = {
    TEXT("vault", struct kv_config, vault),
    TEXT_OPT("state", struct kv_config, state),
    TEXT_OPT("socket", struct kv_config, socket),
    TEXT("log-slot", struct kv_config, log_slot),
    CYAML_FIELD_SEQUENCE("slots", CYAML_FLAG_POINTER, struct kv_config, slots, &slot_schema, 1,
                         KV_CONFIG_SLOTS_MAX),
    CYAML_FIELD_MAPPING_PTR("ksef", CYAML_FLAG_POINTER, struct kv_config, ksef, ksef_fields),
    TEXT_OPT("user-vault", struct kv_config, user_vault),
    TEXT_OPT("user-gate", struct kv_config, user_gate),
    TEXT_OPT("user-keeper", struct kv_config, user_keeper),
    TEXT_OPT("user-courier", struct kv_config, user_courier),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t config_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct kv_config, config_fields),
};

static enum kv_code slurp(const char *path, struct kv_buf *buf, struct kv_err *err)
{
    KV_CLEANUP(kv_close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return KV_FAIL(err, KV_E_CONFIG, KV_ERRNO, "cannot open %.120s", path);
    }
    uint8_t chunk[4096];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof chunk)) > 0) {
        kv_buf_add(buf, chunk, (size_t)n);
    }
    if (n < 0) {
        return KV_FAIL(err, KV_E_CONFIG, KV_ERRNO, "cannot read %.120s", path);
    }
    if (buf->failed) {
        return KV_REFUSE(err, KV_E_CONFIG, "%.120s has more than %d bytes", path, CONFIG_BYTES_MAX);
    }
    return KV_OK;
}

static bool one_of(const char *value, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcmp(value, *words) == 0) {
            return true;
        }
    }
    return false;
}

static bool default_text(char **text, const char *value)
{
    if (*text == NULL) {
        *text = strdup(value);
    }
    return *text != NULL;
}

/* Where a secret comes from, never the secret. */
static bool is_source(const char *text)
{
    return strncmp(text, "file:/", 6) == 0 || strncmp(text, "credential:", 11) == 0;
}

static bool is_sealed(const char *text)
{
    return strncmp(text, "sealed:/", 8) == 0;
}

static bool is_way(const char *tcti)
{
    return strncmp(tcti, "device:/dev/tpm", 15) == 0 || strncmp(tcti, "swtpm:", 6) == 0 ||
           strcmp(tcti, "tabrmd") == 0;
}

static enum kv_code check_pin(const struct kv_config_slot *slot, const char *path,
                              struct kv_err *err)
{
    bool pad = slot->tpm == NULL && strcmp(slot->pin, KV_CONFIG_PIN_PROTECTED) == 0;
    if (!is_source(slot->pin) && !is_sealed(slot->pin) && !pad &&
        strcmp(slot->pin, KV_CONFIG_PIN_PROMPT) != 0) {
        return KV_REFUSE(
            err, KV_E_CONFIG,
            "%.50s: slot %.30s: pin must be file:/PATH, credential:NAME, sealed:/PATH%s, "
            "never the PIN",
            path, slot->name,
            slot->tpm == NULL ? ", prompt or protected" : " or prompt (a TPM has no pad)");
    }
    bool wants_way = is_sealed(slot->pin) && slot->tpm == NULL;
    if (wants_way != (slot->pin_tpm != NULL) || (wants_way && !is_way(slot->pin_tpm))) {
        return KV_REFUSE(err, KV_E_CONFIG,
                         "%.50s: slot %.30s: pin-tpm, the way to the TPM (device:/dev/tpmrm0), "
                         "belongs to a PKCS#11 slot with pin: sealed:/PATH",
                         path, slot->name);
    }
    return KV_OK;
}

/* Everything else follows from the way to it: what the sandbox opens, too. */
static enum kv_code check_tpm(const struct kv_config_slot *slot, const char *path,
                              struct kv_err *err)
{
    if (slot->module != NULL || slot->module_sha256 != NULL || slot->uri != NULL ||
        slot->init_args != NULL || slot->network != NULL || slot->environment_count > 0 ||
        slot->readable_count > 0 || slot->writable_count > 0) {
        return KV_REFUSE(err, KV_E_CONFIG,
                         "%.60s: slot %s: beside tpm there is only tpm-roots and pin, nothing of a "
                         "PKCS#11 module",
                         path, slot->name);
    }
    if (slot->tpm_roots != NULL && slot->tpm_roots[0] != '/') {
        return KV_REFUSE(err, KV_E_CONFIG, "%.80s: slot %s: tpm-roots must be an absolute path",
                         path, slot->name);
    }
    if (!is_way(slot->tpm)) {
        return KV_REFUSE(err, KV_E_CONFIG,
                         "%.80s: slot %s: tpm is device:/dev/tpm…, swtpm:path=PATH or tabrmd", path,
                         slot->name);
    }
    return check_pin(slot, path, err);
}

static enum kv_code check_slot(const struct kv_config_slot *slot, const char *path,
                               struct kv_err *err)
{
    struct kv_hash hash;
    if (!kv_id_valid(kv_bytes_str(slot->name))) {
        return KV_REFUSE(err, KV_E_CONFIG, "%.80s: slots: name '%.40s' is not an id", path,
                         slot->name);
    }
    if (slot->tpm != NULL) {
        return check_tpm(slot, path, err);
    }
    if (slot->module == NULL || slot->uri == NULL) {
        return KV_REFUSE(err, KV_E_CONFIG, "%.80s: slot %s: module and uri, or tpm, must be given",
                         path, slot->name);
    }
    if (slot->tpm_roots != NULL) {
        return KV_REFUSE(err, KV_E_CONFIG, "%.80s: slot %s: tpm-roots is for a tpm", path,
                         slot->name);
    }
    if (slot->module[0] != '/') {
        return KV_REFUSE(err, KV_E_CONFIG, "%.80s: slot %s: module must be an absolute path", path,
                         slot->name);
    }
    if (slot->module_sha256 != NULL &&
        !kv_hash_from_hex(kv_bytes_str(slot->module_sha256), &hash)) {
        return KV_REFUSE(err, KV_E_CONFIG, "%.80s: slot %s: module-sha256 is 64 hex digits", path,
                         slot->name);
    }
    if (strncmp(slot->uri, "pkcs11:", 7) != 0) {
        return KV_REFUSE(err, KV_E_CONFIG, "%.80s: slot %s: uri must begin with pkcs11:", path,
                         slot->name);
    }
    return check_pin(slot, path, err);
}

static enum kv_code check(struct kv_config *config, const char *path, struct kv_err *err)
{
    static const char *const environments[] = {"test", "demo", "prod", NULL};
    if (!default_text(&config->state, "/var/lib/ksefvault") ||
        !default_text(&config->socket, KV_SOCKET_PATH) ||
        !default_text(&config->user_vault, "ksefvault") ||
        !default_text(&config->user_gate, "ksefvault-gate") ||
        !default_text(&config->user_keeper, "ksefvault-keeper") ||
        !default_text(&config->user_courier, "ksefvault-courier")) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "out of memory");
    }
    if (!kv_vault_valid(kv_bytes_str(config->vault))) {
        return KV_REFUSE(err, KV_E_CONFIG, "%.80s: vault must be host/name in lower case", path);
    }
    if (config->state[0] != '/' || config->socket[0] != '/') {
        return KV_REFUSE(err, KV_E_CONFIG, "%.80s: state and socket must be absolute paths", path);
    }
    for (unsigned i = 0; i < config->slots_count; i++) {
        if (check_slot(&config->slots[i], path, err) != KV_OK) {
            return KV_E_CONFIG;
        }
    }
    if (kv_config_slot(config, config->log_slot) == NULL) {
        return KV_REFUSE(err, KV_E_CONFIG, "%.80s: log-slot '%.40s' is not among the slots", path,
                         config->log_slot);
    }
    if (!one_of(config->ksef->environment, environments)) {
        return KV_REFUSE(err, KV_E_CONFIG, "%.80s: ksef: environment is test, demo or prod", path);
    }
    if (strncmp(config->ksef->url, "https://", 8) != 0) {
        return KV_REFUSE(err, KV_E_CONFIG, "%.80s: ksef: url must begin with https://", path);
    }
    if (config->ksef->proxy_credentials != NULL &&
        (config->ksef->proxy == NULL || !is_source(config->ksef->proxy_credentials))) {
        return KV_REFUSE(err, KV_E_CONFIG,
                         "%.80s: ksef: proxy-credentials must be file:/PATH or credential:NAME of "
                         "user:password, beside a proxy",
                         path);
    }
    return KV_OK;
}

enum kv_code kv_config_load(const char *path, struct kv_config **out, struct kv_hash *digest,
                            struct kv_err *err)
{
    struct kv_buf text;
    kv_buf_init(&text, CONFIG_BYTES_MAX);
    enum kv_code code = slurp(path, &text, err);
    if (code == KV_OK && !kv_utf8_valid(kv_buf_bytes(&text))) {
        code = KV_REFUSE(err, KV_E_CONFIG, "%.120s is not UTF-8", path);
    }
    struct kv_yaml_fault fault;
    void *loaded = NULL;
    if (code == KV_OK && !kv_yaml_load(kv_buf_bytes(&text), &config_schema, &loaded, &fault)) {
        code = KV_REFUSE(err, KV_E_CONFIG, "%.60s: %.64s %.64s", path, fault.what, fault.where);
    }
    struct kv_config *config = loaded;
    if (code == KV_OK && config == NULL) {
        code = KV_REFUSE(err, KV_E_CONFIG, "%.120s is empty", path);
    }
    if (code == KV_OK) {
        code = check(config, path, err);
    }
    if (code == KV_OK) {
        if (digest != NULL) {
            *digest = kv_hash(kv_buf_bytes(&text));
        }
        *out = config;
    } else {
        kv_config_free(config);
    }
    kv_buf_clear(&text);
    return code;
}

void kv_config_free(struct kv_config *config)
{
    kv_yaml_free(&config_schema, config);
}

void kv_config_freep(struct kv_config **config)
{
    kv_config_free(*config);
    *config = NULL;
}

const struct kv_config_slot *kv_config_slot(const struct kv_config *config, const char *name)
{
    for (unsigned i = 0; i < config->slots_count; i++) {
        if (strcmp(config->slots[i].name, name) == 0) {
            return &config->slots[i];
        }
    }
    return NULL;
}

const char *kv_config_pin_tpm(const struct kv_config_slot *slot)
{
    return !is_sealed(slot->pin) ? NULL : slot->tpm != NULL ? slot->tpm : slot->pin_tpm;
}

bool kv_config_prompt_path(const struct kv_config *config, const char *slot, char *out, size_t size)
{
    const char *slash = strrchr(config->socket, '/');
    int n = snprintf(out, size, "%.*s/pin-%s", (int)(slash - config->socket), config->socket, slot);
    return n > 0 && (size_t)n < size;
}

bool kv_config_tpm_folder(const char *state, const char *slot, char *out, size_t size)
{
    int n = snprintf(out, size, "%s/keeper/tpm/%s", state, slot);
    return n > 0 && (size_t)n < size;
}
