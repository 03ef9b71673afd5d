#include "cli/slot.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>

/* Make `path` with this mode and owner if it is not there; what is there is left as it is. */
static enum kv_code make_folder(const char *path, mode_t mode, const struct passwd *owner,
                                struct kv_err *err)
{
    if (mkdir(path, mode) != 0) {
        return errno == EEXIST ? KV_OK
                               : KV_FAIL(err, KV_E_IO, KV_ERRNO, "making the folder %.120s", path);
    }
    KV_CLEANUP(kv_close_fdp) int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fchmod(fd, mode) != 0 ||
        (owner != NULL && fchown(fd, owner->pw_uid, owner->pw_gid) != 0)) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "preparing the folder %.120s", path);
    }
    return KV_OK;
}

/* As root: whoever the keeper is, so that what the module writes belongs to it. */
static enum kv_code become_keeper(const struct kv_config *config, struct slot *out,
                                  struct kv_err *err)
{
    const char *user = config->user_keeper;
    if (getuid() != 0) {
        return KV_OK;
    }
    const struct passwd *keeper = user == NULL ? NULL : getpwnam(user);
    if (keeper == NULL) {
        return KV_REFUSE(err, KV_E_CONFIG,
                         "there is no account '%.64s'; create it (systemd-sysusers)",
                         user == NULL ? "user-keeper" : user);
    }
    out->account.uid = keeper->pw_uid;
    out->account.gid = keeper->pw_gid;
    if (make_folder(config->state, 0755, NULL, err) != KV_OK) {
        return err->code;
    }
    return make_folder(out->lock_dir, 0700, keeper, err);
}

enum kv_code slot_take(const struct kv_config *config, const struct kv_config_slot *from,
                       struct slot *out, struct kv_err *err)
{
    *out = (struct slot){.profile = {.module = from->module,
                                     .module_sha256 = from->module_sha256,
                                     .uri = from->uri,
                                     .init_args = from->init_args,
                                     .writable = (const char *const *)from->writable,
                                     .writable_count = from->writable_count},
                         .account = {.uid = getuid(), .gid = getgid()},
                         .name = from->name,
                         .pin_source = from->pin,
                         .pin_tpm = {.tcti = kv_config_pin_tpm(from), .slots = out->tpm_slots}};
    int n = snprintf(out->lock_dir, sizeof out->lock_dir, "%s/keeper", config->state);
    if (n < 0 || n >= (int)sizeof out->lock_dir ||
        !kv_config_tpm_folder(config->state, "", out->tpm_slots, sizeof out->tpm_slots) ||
        from->environment_count > SLOT_ENVIRONMENT_MAX) {
        return KV_REFUSE(err, KV_E_CONFIG, "slot %s: a path or the environment is too long",
                         from->name);
    }
    out->profile.lock_dir = out->lock_dir;
    if (from->tpm != NULL) {
        if (!kv_config_tpm_folder(config->state, from->name, out->tpm_folder,
                                  sizeof out->tpm_folder)) {
            return KV_REFUSE(err, KV_E_CONFIG, "slot %s: a path is too long", from->name);
        }
        out->tpm = (struct kv_tpm_profile){
            .tcti = from->tpm, .folder = out->tpm_folder, .roots = from->tpm_roots};
    }
    for (unsigned i = 0; i < from->environment_count; i++) {
        out->environment[i] = from->environment[i];
    }
    out->account.env = out->environment;
    return become_keeper(config, out, err);
}

enum kv_code slot_find(struct cli *cli, const char *name, struct slot *out, struct kv_err *err)
{
    const struct kv_config *config;
    if (cli_config(cli, &config, err) != KV_OK) {
        return err->code;
    }
    const struct kv_config_slot *from = kv_config_slot(config, name);
    if (from == NULL) {
        return KV_REFUSE(err, KV_E_NOT_FOUND, "the configuration has no slot '%.64s'", name);
    }
    return slot_take(config, from, out, err);
}

static enum kv_code from_source(const char *source, uid_t owner, struct kv_secret **out,
                                struct kv_err *err)
{
    int fd = -1;
    if (kv_pin_open(source, owner, &fd, err) != KV_OK) {
        return err->code;
    }
    enum kv_code code = kv_pin_read_fd(fd, out, err);
    kv_close_fdp(&fd);
    return code;
}

enum kv_code slot_check_sealed(const struct slot *slot, struct kv_err *err)
{
    return slot->pin_tpm.tcti != NULL
               ? KV_OK
               : KV_REFUSE(err, KV_E_CONFIG,
                           "the configuration of slot %s says pin: %.40s; for a sealed one it must "
                           "say pin: sealed:/PATH%s",
                           slot->name, slot->pin_source,
                           slot->tpm.tcti == NULL ? " and pin-tpm: device:/dev/tpmrm0" : "");
}

enum kv_code slot_sealed(const struct slot *slot, struct kv_tpm_pin *out, struct kv_err *err)
{
    int fd = -1;
    if (slot_check_sealed(slot, err) != KV_OK ||
        kv_pin_open(slot->pin_source, slot->account.uid, &fd, err) != KV_OK) {
        return err->code;
    }
    enum kv_code code = kv_tpm_pin_read_fd(fd, slot->name, out, err);
    kv_close_fdp(&fd);
    return code;
}

static enum kv_code from_seal(const struct slot *slot, struct kv_secret **out, struct kv_err *err)
{
    struct kv_tpm_pin sealed;
    enum kv_code code = slot_sealed(slot, &sealed, err);
    return code == KV_OK ? kv_tpm_pin_unseal(&slot->pin_tpm, &sealed, out, err) : code;
}

/* A new PIN is typed twice: nobody could log in with a typing error. */
static enum kv_code from_terminal(const char *prompt, bool new_pin, struct kv_secret **out,
                                  struct kv_err *err)
{
    char text[128];
    KV_CLEANUP(kv_secret_freep) struct kv_secret *first = NULL;
    KV_CLEANUP(kv_secret_freep) struct kv_secret *second = NULL;
    int n = snprintf(text, sizeof text, "%s: ", prompt);
    assert(n > 0 && n < (int)sizeof text);
    if (kv_pin_read_terminal(text, &first, err) != KV_OK) {
        return err->code;
    }
    if (new_pin) {
        n = snprintf(text, sizeof text, "%s, again: ", prompt);
        assert(n > 0 && n < (int)sizeof text);
        if (kv_pin_read_terminal(text, &second, err) != KV_OK) {
            return err->code;
        }
        struct kv_bytes a = kv_secret_bytes(first);
        struct kv_bytes b = kv_secret_bytes(second);
        if (a.len != b.len || CRYPTO_memcmp(a.ptr, b.ptr, a.len) != 0) {
            return KV_REFUSE(err, KV_E_TOKEN_NO_PIN, "the two PINs differ; nothing was changed");
        }
    }
    *out = first;
    first = NULL; /* handed over */
    return KV_OK;
}

/* A PIN that nobody has to enter. systemd hands credentials to the agent's unit, to no shell. */
static bool is_here(const char *source)
{
    return strcmp(source, KV_CONFIG_PIN_PROMPT) != 0 &&
           (strncmp(source, "credential:", 11) != 0 || getenv("CREDENTIALS_DIRECTORY") != NULL);
}

enum kv_code slot_pin(const struct cli *cli, const struct slot *slot, const char *option,
                      const char *prompt, enum slot_asks asks, struct kv_secret **out,
                      struct kv_err *err)
{
    char fd_option[32];
    char credential_option[32];
    char source[128];
    uint64_t fd;
    int n = snprintf(fd_option, sizeof fd_option, "%s-fd", option);
    int m = snprintf(credential_option, sizeof credential_option, "%s-credential", option);
    assert(n > 0 && n < (int)sizeof fd_option && m > 0 && m < (int)sizeof credential_option);
    if (kv_secret_heap_init(err) != KV_OK || kv_secret_harden_process(err) != KV_OK ||
        cli_number(cli, fd_option, 0, 1023, 0, &fd, err) != KV_OK) {
        return err->code;
    }
    const char *credential = cli_get(cli, credential_option);
    if (cli_get(cli, fd_option) != NULL && credential != NULL) {
        return KV_REFUSE(err, KV_E_USAGE, "give one source for the PIN: --%s or --%s", fd_option,
                         credential_option);
    }
    if (cli_get(cli, fd_option) != NULL) {
        return kv_pin_read_fd((int)fd, out, err);
    }
    if (credential != NULL) {
        n = snprintf(source, sizeof source, "credential:%s", credential);
        return n > 0 && n < (int)sizeof source
                   ? from_source(source, slot->account.uid, out, err)
                   : KV_REFUSE(err, KV_E_USAGE, "--%s: the name is too long", credential_option);
    }
    if (asks == SLOT_CONFIGURED && strcmp(slot->pin_source, KV_CONFIG_PIN_PROTECTED) == 0) {
        fputs("enter the PIN at the device\n", stderr);
        *out = NULL;
        return KV_OK;
    }
    if (asks == SLOT_CONFIGURED && getuid() == 0 && is_here(slot->pin_source)) {
        return slot->pin_tpm.tcti != NULL
                   ? from_seal(slot, out, err)
                   : from_source(slot->pin_source, slot->account.uid, out, err);
    }
    return from_terminal(prompt, asks == SLOT_ASKED_TWICE, out, err);
}
