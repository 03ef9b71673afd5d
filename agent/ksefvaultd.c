/* ksefvaultd: reads the configuration, prepares folders and the socket, starts and replaces the
 * other programs (agent/supervisor.h). */
#include "agent/attest.h"
#include "agent/cafile.h"
#include "agent/program.h"
#include "agent/supervisor.h"

#include "core/log.h"
#include "core/roots.h"
#include "core/secret.h"
#include "ksef/allowedips.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] =
    "ksefvaultd - starts the KSeF credential agent\n"
    "\n"
    "usage: ksefvaultd [--config FILE] [--check]\n"
    "\n"
    "  --config FILE  configuration (default " KV_CONFIG_PATH ")\n"
    "  --check        only read the configuration and the files that it names for KSeF and\n"
    "                 for TPMs, and say whether they are valid\n"
    "  --version      version and whether the sandbox is compiled in\n"
    "\n"
    "Needs root: it gives each of its programs an account of its own. It stays in the foreground "
    "and\n"
    "logs to standard error; use the systemd unit for daily work. `ksefvault status` tells the "
    "rest.\n";

#define LAST_BREATH_MS 5000 /* of an agent that was stopped or killed, and is still ending */

/* A folder with owner and mode, made if it is missing. */
static enum kv_code folder(const char *base, const char *name, const char *user, mode_t mode,
                           struct kv_err *err)
{
    char path[512];
    int n = snprintf(path, sizeof path, "%s%s%s", base, name[0] == '\0' ? "" : "/", name);
    if (n < 0 || (size_t)n >= sizeof path) {
        return KV_REFUSE(err, KV_E_CONFIG, "state: the path is too long");
    }
    const struct passwd *pw = user == NULL ? NULL : getpwnam(user);
    if (user != NULL && pw == NULL) {
        return KV_REFUSE(err, KV_E_CONFIG, "there is no account '%s'; create it (systemd-sysusers)",
                         user);
    }
    if (mkdir(path, mode) != 0 && errno != EEXIST) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot make the folder %.120s", path);
    }
    /* Never through a link: an account that owns the folder above could have put one here. */
    KV_CLEANUP(kv_close_fdp) int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    bool there = fd >= 0 && fstat(fd, &st) == 0;
    /* what is right already is not touched: the file system may be read-only by now */
    bool owned = there && (pw == NULL || (st.st_uid == pw->pw_uid && st.st_gid == pw->pw_gid));
    if (!there || (!owned && fchown(fd, pw->pw_uid, pw->pw_gid) != 0) ||
        ((st.st_mode & 07777) != mode && fchmod(fd, mode) != 0)) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot prepare the folder %.120s", path);
    }
    return KV_OK;
}

static enum kv_code folders(const struct kv_config *config, struct kv_err *err)
{
    char run[256];
    const char *slash = strrchr(config->socket, '/');
    size_t len = (size_t)(slash - config->socket);
    if (len == 0 || len >= sizeof run) {
        return KV_REFUSE(err, KV_E_CONFIG, "socket: put it into a folder of its own");
    }
    memcpy(run, config->socket, len);
    run[len] = '\0';
    if (mkdir(run, 0755) == 0 && chmod(run, 0755) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot prepare %.120s", run);
    }
    const struct {
        const char *name, *user;
        mode_t mode;
    } table[] = {
        {"", NULL, 0755},
        {"ledger", config->user_vault, 0755},
        {"keeper", config->user_keeper, 0700},
        {"inbox", config->user_vault, 01733},
    };
    for (size_t i = 0; i < KV_COUNT(table); i++) {
        enum kv_code code = folder(config->state, table[i].name, table[i].user, table[i].mode, err);
        if (code != KV_OK) {
            return code;
        }
    }
    return KV_OK;
}

static void add_hash_of(struct kv_buf *out, const char *name, const char *path)
{
    struct kv_err err;
    struct kv_hash hash;
    char text[KV_HASH_BASE64_LEN];
    KV_CLEANUP(kv_close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && kv_attest_file(fd, &hash, &err) == KV_OK) {
        kv_hash_base64(&hash, text);
        kv_message_str(out, name, text);
    }
}

static void configure_vault(const struct kv_supervisor *sup, struct kv_buf *out)
{
    const struct kv_config *config = sup->config;
    kv_message_str(out, "vault", config->vault);
    kv_message_str(out, "state", config->state);
    kv_message_str(out, "log-slot", config->log_slot);
    kv_message_str(out, "environment", config->ksef->environment);
    kv_message_str(out, "config", sup->config_sha256);
    kv_message_begin(out, "programs", KV_FIELD_OBJECT);
    for (int role = 0; role < KV_ROLE_COUNT; role++) {
        char path[512];
        const char *program = kv_child_program((enum kv_role)role);
        int n = snprintf(path, sizeof path, "%s/%s", sup->program_dir, program);
        if (n > 0 && (size_t)n < sizeof path) {
            add_hash_of(
                out, role == KV_ROLE_SUPERVISOR ? program : kv_role_word((enum kv_role)role), path);
        }
    }
    kv_message_end(out);
    kv_message_begin(out, "modules", KV_FIELD_OBJECT);
    for (unsigned i = 0; i < config->slots_count; i++) {
        if (config->slots[i].module != NULL) { /* none in the way to a TPM */
            add_hash_of(out, config->slots[i].name, config->slots[i].module);
        }
    }
    kv_message_end(out);
    kv_message_str(out, "allowed-ips",
                   config->ksef->allowed_ips == NULL ? "" : config->ksef->allowed_ips);
}

static void add_texts(struct kv_buf *out, const char *name, char *const *texts, unsigned count)
{
    kv_message_begin(out, name, KV_FIELD_ARRAY);
    for (unsigned i = 0; i < count; i++) {
        kv_message_str(out, "", texts[i]);
    }
    kv_message_end(out);
}

static void add_optional(struct kv_buf *out, const char *name, const char *text)
{
    if (text != NULL) {
        kv_message_str(out, name, text);
    }
}

static void configure_keeper(const struct kv_child *child, struct kv_buf *out)
{
    const struct kv_config_slot *slot = child->slot;
    kv_message_str(out, "vault", child->sup->config->vault);
    kv_message_str(out, "state", child->sup->config->state);
    kv_message_str(out, "slot", slot->name);
    add_optional(out, "module", slot->module);
    add_optional(out, "uri", slot->uri);
    add_optional(out, "tpm", slot->tpm);
    add_optional(out, "tpm-roots", slot->tpm_roots);
    kv_message_bool(out, "protected", strcmp(slot->pin, KV_CONFIG_PIN_PROTECTED) == 0);
    add_optional(out, "pin-tpm", child->by_hand ? NULL : kv_config_pin_tpm(slot));
    add_optional(out, "module-sha256", slot->module_sha256);
    add_optional(out, "init-args", slot->init_args);
    add_optional(out, "network", slot->network);
    add_texts(out, "environment", slot->environment, slot->environment_count);
    add_texts(out, "readable", slot->readable, slot->readable_count);
    add_texts(out, "writable", slot->writable, slot->writable_count);
}

void kv_child_configuration(const struct kv_child *child, struct kv_buf *out)
{
    const struct kv_config_ksef *ksef = child->sup->config->ksef;
    switch (child->role) {
    case KV_ROLE_VAULT: configure_vault(child->sup, out); break;
    case KV_ROLE_KEEPER: configure_keeper(child, out); break;
    case KV_ROLE_COURIER:
        kv_message_str(out, "url", ksef->url);
        add_optional(out, "ca-file", ksef->ca_file);
        add_optional(out, "proxy", ksef->proxy);
        kv_message_bool(out, "proxy-credentials", ksef->proxy_credentials != NULL);
        break;
    case KV_ROLE_GATE:
    case KV_ROLE_SUPERVISOR:
    case KV_ROLE_COUNT: break;
    }
}

static void on_respawn(void *ctx)
{
    struct kv_child *child = ctx;
    kv_child_start(child);
}

static void add_child(struct kv_supervisor *sup, enum kv_role role,
                      const struct kv_config_slot *slot)
{
    struct kv_child *child = &sup->children[sup->child_count++];
    *child = (struct kv_child){.sup = sup, .role = role, .slot = slot, .peer_fd = -1, .handed = -1};
    child->respawn = kv_timer_new(sup->loop, on_respawn, child);
}

/* Whoever has not ended by now hangs. A keeper may be in its login, which is never killed. */
static void on_patience(void *ctx)
{
    struct kv_supervisor *sup = ctx;
    for (size_t i = 0; i < sup->child_count; i++) {
        const struct kv_child *child = &sup->children[i];
        if (child->pid != 0 && child->role != KV_ROLE_KEEPER) {
            kv_log(KV_LOG_WARNING, "kill", "program=%s", kv_child_program(child->role));
            (void)kill(child->pid, SIGKILL); /* ours, not yet reaped */
        }
    }
}

static void on_terminate(void *ctx)
{
    struct kv_supervisor *sup = ctx;
    if (sup->stopping) {
        return;
    }
    sup->stopping = true;
    kv_log(KV_LOG_INFO, "stopping", "reason=signal");
    kv_attestor_clear(sup->attestor);
    /* The vault goes first and closes its books; the rest ends when its channels do. */
    for (size_t i = 0; i < sup->child_count; i++) {
        kv_channel_free(sup->children[i].channel);
        sup->children[i].channel = NULL;
        kv_close_fdp(&sup->children[i].peer_fd);
    }
    sup->patience = kv_timer_new(sup->loop, on_patience, sup);
    kv_timer_arm(sup->patience, 10000);
    kv_supervisor_reap(sup);
}

static void on_child_signal(void *ctx, uint32_t events)
{
    (void)events; /* readable is all there is */
    struct kv_supervisor *sup = ctx;
    struct signalfd_siginfo info;
    while (read(sup->child_signals, &info, sizeof info) == (ssize_t)sizeof info) {
        /* only a wake-up: waitpid tells the rest */
    }
    kv_supervisor_reap(sup);
}

static enum kv_code watch_children(struct kv_supervisor *sup, struct kv_err *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "sigprocmask");
    }
    sup->child_signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (sup->child_signals < 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "signalfd");
    }
    struct kv_source *source;
    return kv_loop_watch(sup->loop, sup->child_signals, EPOLLIN, on_child_signal, sup, &source,
                         err);
}

/* Our own programs lie beside us. */
static enum kv_code find_programs(struct kv_supervisor *sup, struct kv_err *err)
{
    ssize_t n = readlink("/proc/self/exe", sup->program_dir, sizeof sup->program_dir - 1);
    if (n <= 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot find my own programs");
    }
    sup->program_dir[n] = '\0';
    *strrchr(sup->program_dir, '/') = '\0';
    return KV_OK;
}

/* What the layer of the configuration cannot know: the form of KSeF's lists of addresses. */
static enum kv_code load(const char *path, struct kv_config **out, struct kv_hash *digest,
                         struct kv_err *err)
{
    if (kv_config_load(path, out, digest, err) != KV_OK) {
        return err->code;
    }
    const char *list = (*out)->ksef->allowed_ips;
    struct kv_err why;
    if (list == NULL || strcmp(list, "challenge") == 0 ||
        (list[0] != '\0' && kv_allowed_ips_check(kv_bytes_str(list), &why) == KV_OK)) {
        return KV_OK;
    }
    return KV_REFUSE(err, KV_E_CONFIG, "%.80s: ksef: allowed-ips is 'challenge' or a list: %.120s",
                     path, list[0] == '\0' ? "it is empty" : why.msg);
}

/* With the keeper's eyes, since it reads them. */
static enum kv_code check_roots(const struct kv_config *config, struct kv_err *err)
{
    const struct passwd *pw = geteuid() == 0 ? getpwnam(config->user_keeper) : NULL;
    enum kv_code code = KV_OK;
    if (pw != NULL && !kv_act_as(pw->pw_uid, pw->pw_gid)) {
        code = KV_REFUSE(err, KV_E_IO, "cannot act as '%s'", config->user_keeper);
    }
    for (unsigned i = 0; code == KV_OK && i < config->slots_count; i++) {
        KV_CLEANUP(kv_roots_freep) struct kv_roots *roots = NULL;
        if (config->slots[i].tpm_roots != NULL) {
            code = kv_roots_load(config->slots[i].tpm_roots, &roots, err);
        }
    }
    bool back = kv_act_as(geteuid(), getegid());
    assert(back); /* it is who this process is */
    return code;
}

/* Files that the courier cannot do without. The agent starts without them, since revoking needs no
 * KSeF, and shows them in its status. Root looks with the courier's eyes. */
static enum kv_code check_files(const struct kv_config *config, struct kv_err *err)
{
    const struct kv_config_ksef *ksef = config->ksef;
    const struct passwd *pw = geteuid() == 0 ? getpwnam(config->user_courier) : NULL;
    enum kv_code code = KV_OK;
    if (pw != NULL && ksef->proxy_credentials != NULL &&
        strncmp(ksef->proxy_credentials, "file:", 5) == 0) { /* others only systemd knows */
        KV_CLEANUP(kv_close_fdp) int fd = -1;
        code = kv_proxy_login_open(ksef->proxy_credentials, pw->pw_uid, &fd, err);
    }
    if (code == KV_OK && ksef->ca_file != NULL) {
        struct kv_buf pem;
        kv_buf_init(&pem, KV_CA_FILE_MAX);
        code = pw != NULL && !kv_act_as(pw->pw_uid, pw->pw_gid)
                   ? KV_REFUSE(err, KV_E_IO, "cannot act as '%s'", config->user_courier)
                   : kv_ca_file_read(ksef->ca_file, &pem, err);
        kv_buf_clear(&pem);
        bool back = kv_act_as(geteuid(), getegid());
        assert(back); /* it is who this process is */
    }
    return code == KV_OK ? check_roots(config, err) : code;
}

static enum kv_code run(const char *path, bool only_check, struct kv_err *err)
{
    KV_CLEANUP(kv_config_freep) struct kv_config *config = NULL;
    struct kv_hash digest;
    enum kv_code code = load(path, &config, &digest, err);
    if (code != KV_OK || only_check) {
        return code != KV_OK ? code : check_files(config, err);
    }
    struct kv_supervisor *sup = calloc(1, sizeof *sup);
    if (sup == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "out of memory for the programs");
    }
    sup->config = config;
    sup->listener = KV_LISTENER_NONE;
    sup->child_signals = -1;
    kv_hash_base64(&digest, sup->config_sha256);
    code = folders(config, err);
    code = code != KV_OK ? code : find_programs(sup, err);
    code = code != KV_OK ? code
                         : kv_listener_open(config->socket, LAST_BREATH_MS, &sup->listener, err);
    code = code != KV_OK ? code : kv_program_limits(err);
    code = code != KV_OK ? code : kv_secret_harden_process(err);
    code = code != KV_OK ? code : kv_loop_new(&sup->loop, err);
    code = code != KV_OK ? code : kv_loop_on_terminate(sup->loop, on_terminate, sup, err);
    code = code != KV_OK ? code : watch_children(sup, err);
    if (code == KV_OK) {
        sup->attestor = kv_attestor_new(sup->loop, kv_supervisor_attested, sup);
        add_child(sup, KV_ROLE_VAULT, NULL);
        add_child(sup, KV_ROLE_GATE, NULL);
        add_child(sup, KV_ROLE_COURIER, NULL);
        for (unsigned i = 0; i < config->slots_count; i++) {
            add_child(sup, KV_ROLE_KEEPER, &config->slots[i]);
        }
        for (size_t i = 0; i < sup->child_count; i++) {
            kv_child_start(&sup->children[i]);
        }
        kv_log(KV_LOG_INFO, "started", "version=%s vault=%s", KV_VERSION, config->vault);
        code = kv_loop_run(sup->loop, err);
    }
    for (size_t i = 0; i < sup->child_count; i++) {
        kv_timer_free(sup->children[i].respawn);
    }
    kv_attestor_free(sup->attestor);
    kv_timer_free(sup->patience);
    kv_listener_close(&sup->listener, config->socket);
    kv_close_fdp(&sup->child_signals);
    kv_loop_free(sup->loop);
    free(sup);
    return code;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"check", no_argument, NULL, 'k'},
                                            {"version", no_argument, NULL, 'v'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *path = KV_CONFIG_PATH;
    bool only_check = false;
    int option;
    kv_log_init("ksefvaultd", KV_LOG_INFO);
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'c') {
            path = optarg;
        } else if (option == 'k') {
            only_check = true;
        } else if (option == 'v') {
            printf("ksefvaultd %s (sandbox %s)\n", KV_VERSION, KV_SANDBOX ? "on" : "off");
            return 0;
        } else {
            fputs(help, option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : 2;
        }
    }
    struct kv_err err;
    if (!only_check && geteuid() != 0) {
        fputs("ksefvaultd: must be started as root [input.usage]\n"
              "next: use `systemctl start ksefvault`, or sudo.\n",
              stderr);
        return 2;
    }
    if (run(path, only_check, &err) != KV_OK) {
        kv_log_err(KV_LOG_ERROR, "fatal", &err);
        return (int)kv_code_row(err.code)->exit;
    }
    return 0;
}
