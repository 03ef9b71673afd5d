/* backup, restore: the ledger, its documents, the rows beside it, and the wrapped secrets. Keys
 * stay in their slot and are not in it; a wrapped secret, and the key file of a TPM, opens only
 * with that slot. The copying is done by coreutils. */
#include "cli/cmd.h"

#include "cli/file.h"
#include "cli/out.h"
#include "core/time.h"
#include "ledger/verify.h"
#include "policy/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_LEN 768

static const struct cli_option restore_options[] = {
    {"replace", NULL, CLI_OPTIONAL, "put what is there now aside, under another name"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};

static void path_of(const char *a, const char *b, char out[static PATH_LEN])
{
    int n = snprintf(out, PATH_LEN, "%s%s", a, b);
    assert(n > 0 && n < PATH_LEN); /* both were checked to fit */
}

static enum kv_code run(const char *const *argv, struct kv_err *err)
{
    struct kv_buf out;
    int status = 0;
    kv_buf_init(&out, 4096);
    enum kv_code code = cli_program(argv, KV_BYTES_NULL, &out, &status, err);
    kv_buf_clear(&out);
    if (code == KV_OK && status != 0) {
        code = KV_REFUSE(err, KV_E_IO, "%s failed; what it said is above", argv[0]);
    }
    return code;
}

static enum kv_code copy(const char *from, const char *to, struct kv_err *err)
{
    const char *const argv[] = {"cp", "-a", "--", from, to, NULL};
    return run(argv, err);
}

static enum kv_code make_folder(const char *path, mode_t mode, struct kv_err *err)
{
    return mkdir(path, mode) == 0 && chmod(path, mode) == 0
               ? KV_OK
               : KV_FAIL(err, KV_E_IO, KV_ERRNO, "making %.200s", path);
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static enum kv_code check_root(struct cli *cli, const struct kv_config **config, struct kv_err *err)
{
    const char *folder = cli_operand(cli, 0);
    if (cli_config(cli, config, err) != KV_OK) {
        return err->code;
    }
    if (getuid() != 0) {
        return KV_REFUSE(err, KV_E_NOT_ALLOWED, "only root can read the whole of %.200s",
                         (*config)->state);
    }
    if (strlen(folder) + strlen((*config)->state) + 64 >= PATH_LEN || folder[0] == '-') {
        return KV_REFUSE(err, KV_E_USAGE, "'%.80s' is no folder's name", folder);
    }
    return KV_OK;
}

/* ---- is a copy whole and good? ---- */

static bool root_at(void *ctx, uint64_t size, struct kv_hash *out)
{
    const struct kv_tree *tree = ctx;
    if (size > kv_tree_size(tree)) {
        return false;
    }
    *out = kv_tree_root(tree, size);
    return true;
}

struct replay {
    struct kv_state *state;
    struct cli_progress progress;
};

static enum kv_code on_entry(void *ctx, const struct kv_entry *entry, struct kv_err *err)
{
    struct replay *replay = ctx;
    struct kv_log_view view = {root_at, (void *)(uintptr_t)entry->tree, entry->covered, UINT64_MAX};
    cli_progress_at(&replay->progress, entry->rec->seq + 1);
    return kv_state_apply(replay->state, entry->rec, &entry->blobs, &view, err);
}

struct good {
    uint64_t records, covered;
};

/* Every record that it holds is good, and the rules accept it; it is `vault`'s. */
static enum kv_code judge_copy(const struct cli *cli, const char *ledger, const char *vault,
                               struct good *out, struct kv_err *err)
{
    KV_CLEANUP(kv_reader_freep) struct kv_reader *reader = NULL;
    KV_CLEANUP(kv_state_freep) struct kv_state *state = kv_state_new();
    struct replay replay = {.state = state};
    struct kv_verify_options options = {.on_entry = on_entry, .ctx = &replay};
    struct kv_verify_result result;
    if (kv_reader_open(ledger, &reader, err) != KV_OK) {
        return err->code;
    }
    cli_progress_begin(&replay.progress, cli->terminal, "records verified");
    enum kv_code code = kv_verify(reader, &options, &result, err);
    cli_progress_end(&replay.progress);
    if (code != KV_OK) {
        return code;
    }
    const struct kv_finding *bad = kv_findings_first(&result.findings);
    if (bad != NULL) {
        code = KV_REFUSE(err, KV_E_LEDGER_RECORD, "%.120s: %.160s", bad->file, bad->what);
    } else if (strcmp(kv_state_vault(state), vault) != 0) {
        code = KV_REFUSE(err, KV_E_CONFIG, "it is the ledger of vault %.120s, not of %.120s",
                         kv_state_vault(state), vault);
    }
    *out = (struct good){.records = result.records_good, .covered = result.covered};
    kv_verify_result_clear(&result);
    return code;
}

static void tell(const struct cli *cli, const char *folder, const struct good *good,
                 const char *next)
{
    if (cli->json) {
        json_t *object =
            json_pack("{s:s,s:I,s:I,s:s}", "folder", folder, "records", (json_int_t)good->records,
                      "covered", (json_int_t)good->covered, "next", next);
        cli_put_json(object);
        json_decref(object);
        return;
    }
    cli_say("%s: %llu records, %llu of them under the signed checkpoint; all verify.\nnext: %s\n",
            folder, (unsigned long long)good->records, (unsigned long long)good->covered, next);
}

/* ---- backup ---- */

/* The checkpoint first: then all that it covers is in what is copied behind it. */
static const char *const parts[] = {
    "/ledger/public/checkpoint",   "/ledger/wal",     "/ledger/blobs", "/ledger/private",
    "/ledger/public/log.evidence", "/keeper/wrapped", "/keeper/tpm"};
static const char *const folders[] = {"/ledger", "/ledger/public", "/keeper"};

static enum kv_code copy_parts(const char *from, const char *to, struct kv_err *err)
{
    char source[PATH_LEN], target[PATH_LEN];
    enum kv_code code = KV_OK;
    for (size_t i = 0; i < KV_COUNT(folders) && code == KV_OK; i++) {
        path_of(to, folders[i], target);
        code = exists(target) ? KV_OK : make_folder(target, 0755, err);
    }
    for (size_t i = 0; i < KV_COUNT(parts) && code == KV_OK; i++) {
        path_of(from, parts[i], source);
        path_of(to, parts[i], target);
        code = exists(source) ? copy(source, target, err) : KV_OK;
    }
    return code;
}

static enum kv_code make_backup(const struct cli *cli, const struct kv_config *config,
                                const char *part, struct good *good, struct kv_err *err)
{
    char ledger[PATH_LEN];
    const char *const sync_argv[] = {"sync", "-f", "--", part, NULL};
    path_of(part, "/ledger", ledger);
    if (make_folder(part, 0700, err) != KV_OK || copy_parts(config->state, part, err) != KV_OK ||
        judge_copy(cli, ledger, config->vault, good, err) != KV_OK) {
        return err->code;
    }
    return run(sync_argv, err);
}

static enum kv_code run_backup(struct cli *cli, struct kv_err *err)
{
    const struct kv_config *config = NULL;
    const char *folder = cli_operand(cli, 0);
    char part[PATH_LEN];
    struct good good;
    if (check_root(cli, &config, err) != KV_OK) {
        return err->code;
    }
    if (exists(folder)) {
        return KV_REFUSE(err, KV_E_USAGE, "%.200s exists already; nothing was written", folder);
    }
    path_of(folder, ".part", part);
    if (exists(part)) { /* of one that was cut short */
        const char *const argv[] = {"rm", "-rf", "--", part, NULL};
        if (run(argv, err) != KV_OK) {
            return err->code;
        }
    }
    if (make_backup(cli, config, part, &good, err) != KV_OK) {
        return err->code;
    }
    if (rename(part, folder) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "naming %.200s", folder);
    }
    tell(cli, folder, &good,
         "keep it away from this host, with the configuration and the founding folder; names and "
         "reasons in it are personal data. Keys are not in it: they stay in their slot.");
    return KV_OK;
}

/* ---- restore ---- */

/* The agent holds this while it runs. *fd is owned by the caller; -1: there is no ledger. */
static enum kv_code lock_ledger(const char *state, int *fd, struct kv_err *err)
{
    char path[PATH_LEN];
    path_of(state, "/ledger/wal/lock", path);
    *fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (*fd < 0) {
        return errno == ENOENT ? KV_OK : KV_FAIL(err, KV_E_IO, KV_ERRNO, "opening %.200s", path);
    }
    return flock(*fd, LOCK_EX | LOCK_NB) == 0
               ? KV_OK
               : KV_REFUSE(err, KV_E_LEDGER_LOCKED, "stop the agent first: it holds the ledger");
}

static enum kv_code put_aside(const char *state, const char *what, const char *stamp,
                              struct kv_err *err)
{
    char from[PATH_LEN], to[PATH_LEN], suffix[64];
    int n = snprintf(suffix, sizeof suffix, "%s.replaced-%s", what, stamp);
    assert(n > 0 && (size_t)n < sizeof suffix);
    path_of(state, what, from);
    path_of(state, suffix, to);
    if (exists(from) && rename(from, to) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "putting %.200s aside", from);
    }
    return KV_OK;
}

static enum kv_code own(const char *user, const char *state, const char *what, struct kv_err *err)
{
    char path[PATH_LEN], owner[128];
    int n = snprintf(owner, sizeof owner, "%.60s:", user); /* and its group */
    assert(n > 0 && (size_t)n < sizeof owner);
    path_of(state, what, path);
    const char *const argv[] = {"chown", "-R", "--", owner, path, NULL};
    return exists(path) ? run(argv, err) : KV_OK;
}

static enum kv_code put_back(const struct kv_config *config, const char *folder, struct kv_err *err)
{
    char stamp[KV_TIME_S_LEN];
    kv_time_format_s(kv_time_now_ms(), stamp);
    for (char *c = stamp; *c != '\0'; c++) {
        *c = *c == ':' ? '-' : *c; /* a name that everything copies */
    }
    if (put_aside(config->state, "/ledger", stamp, err) != KV_OK ||
        put_aside(config->state, "/keeper/wrapped", stamp, err) != KV_OK ||
        put_aside(config->state, "/keeper/tpm", stamp, err) != KV_OK ||
        copy_parts(folder, config->state, err) != KV_OK ||
        own(config->user_vault, config->state, "/ledger", err) != KV_OK ||
        own(config->user_keeper, config->state, "/keeper/wrapped", err) != KV_OK ||
        own(config->user_keeper, config->state, "/keeper/tpm", err) != KV_OK) {
        return kv_wrap(err,
                       "the state folder is incomplete now; what was there is beside it, named "
                       "*.replaced-%s",
                       stamp);
    }
    return KV_OK;
}

static enum kv_code run_restore(struct cli *cli, struct kv_err *err)
{
    const struct kv_config *config = NULL;
    const char *folder = cli_operand(cli, 0);
    KV_CLEANUP(kv_close_fdp) int lock = -1;
    char ledger[PATH_LEN], records[PATH_LEN];
    struct good good;
    if (check_root(cli, &config, err) != KV_OK) {
        return err->code;
    }
    path_of(folder, "/ledger", ledger);
    path_of(config->state, "/ledger/wal/00000000000000000000.seg", records);
    if (judge_copy(cli, ledger, config->vault, &good, err) != KV_OK) {
        return kv_wrap(err, "the backup is not good; nothing was changed");
    }
    if (lock_ledger(config->state, &lock, err) != KV_OK) {
        return err->code;
    }
    if (exists(records) && !cli_flag(cli, "replace")) {
        return KV_REFUSE(
            err, KV_E_USAGE,
            "there is a ledger in %.200s; --replace puts it aside. What it has and the "
            "backup has not would be undone, revocations included",
            config->state);
    }
    if (put_back(config, folder, err) != KV_OK) {
        return err->code;
    }
    tell(
        cli, config->state, &good,
        "start the agent. What came after the backup is gone, revocations and departures included: "
        "sign them again. Whoever keeps a later checkpoint sees the step back.");
    return KV_OK;
}

const struct cli_verb cmd_backup[] = {
    {.noun = "backup",
     .run = run_backup,
     .operands = "FOLDER",
     .operands_min = 1,
     .operands_max = 1,
     .summary =
         "Copy ledger, documents, private rows and wrapped secrets, and verify the copy (root).",
     .more = "The agent may be running. The folder is there completely or not at all.",
     .examples = "  ksefvault backup /backup/ksefvault-2026-11-25\n"},
    {.noun = "restore",
     .run = run_restore,
     .operands = "FOLDER",
     .operands_min = 1,
     .operands_max = 1,
     .options = restore_options,
     .summary = "Put a backup back, after verifying it; the agent must be stopped (root).",
     .more = "What was there is put aside, not removed. A restored ledger is an older one: whoever "
             "keeps a later checkpoint sees that, by `ledger verify --expect`.",
     .examples = "  ksefvault restore /backup/ksefvault-2026-11-25 --replace\n"},
    {.noun = NULL},
};
