/* A temporary ledger folder and the TEST log key, for tests of storage. */
#ifndef KV_TESTS_UNIT_LEDGER_LOG_TEST_H
#define KV_TESTS_UNIT_LEDGER_LOG_TEST_H

#include "tests/unit/ledger/ledger_test.h"

#include "ledger/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEGMENT 4096 /* bytes: a few records */

struct folder {
    char path[64];
    int fd;
};

static inline struct folder folder_new(void)
{
    struct folder f = {.path = "/tmp/kv-ledger-XXXXXX"};
    assert_non_null(mkdtemp(f.path));
    f.fd = open(f.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(f.fd >= 0);
    return f;
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void folder_free(struct folder *f)
{
    (void)close(f->fd);
    assert_int_equal(nftw(f->path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static inline void write_file(int dir, const char *name, struct kv_bytes bytes)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes.ptr, bytes.len), (ssize_t)bytes.len);
    assert_int_equal(close(fd), 0);
}

/* Overwrite bytes of an existing file. */
static inline void patch_file(int dir, const char *name, size_t off, struct kv_bytes bytes)
{
    int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes.ptr, bytes.len, (off_t)off), (ssize_t)bytes.len);
    assert_int_equal(close(fd), 0);
}

static inline void copy_files(const char *from, int to)
{
    DIR *dir = opendir(from);
    assert_non_null(dir);
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        char path[1024];
        struct stat st;
        assert_true(snprintf(path, sizeof path, "%s/%s", from, e->d_name) > 0);
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
            struct kv_buf bytes = load(path);
            write_file(to, e->d_name, kv_buf_bytes(&bytes));
            kv_buf_clear(&bytes);
        }
    }
    (void)closedir(dir);
}

static inline int make_dir(int dir, const char *name)
{
    assert_int_equal(mkdirat(dir, name, 0700), 0);
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* The ledger of the vectors: segment, checkpoint, blobs, side rows. */
static inline struct folder vector_ledger(void)
{
    static const struct {
        const char *name, *from;
    } dirs[] = {{"wal", VECTOR("v1/wal")},
                {"blobs", VECTOR("v1/evidence/blobs")},
                {"private", VECTOR("v1/private")}};
    struct folder f = folder_new();
    for (size_t i = 0; i < KV_COUNT(dirs); i++) {
        int fd = make_dir(f.fd, dirs[i].name);
        copy_files(dirs[i].from, fd);
        (void)close(fd);
    }
    int fd = make_dir(f.fd, "public");
    struct kv_buf note = load(VECTOR("v1/evidence/checkpoint"));
    write_file(fd, "checkpoint", kv_buf_bytes(&note));
    kv_buf_clear(&note);
    (void)close(fd);
    return f;
}

static inline struct kv_vkey log_key(void)
{
    struct kv_buf file = load(VECTOR("v1/keys/log.vkey"));
    struct kv_vkey key;
    assert_int_equal(kv_vkey_parse(kv_buf_bytes(&file), &key, NULL), KV_OK);
    kv_buf_clear(&file);
    return key;
}

/* r ‖ s by the TEST log key, as a token would give it. */
static inline void sign(struct kv_bytes text, uint8_t rs[static KV_ECDSA_RS_LEN])
{
    FILE *f = fopen(VECTOR("v1/keys/TEST-log.pem"), "r");
    assert_non_null(f);
    EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    (void)fclose(f);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t der[80];
    size_t len = sizeof der;
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestSign(ctx, der, &len, text.ptr, text.len), 1);
    assert_int_equal(kv_ecdsa_from_der(kv_bytes(der, len), rs, NULL), KV_OK);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
}

static inline const struct kv_log_options *small_log(void)
{
    static const struct kv_log_options options = {.segment_len = SEGMENT, .reserve_len = 4096};
    return &options;
}

static inline enum kv_code publish(struct kv_log *log, struct kv_err *err)
{
    struct kv_buf text;
    uint64_t size;
    uint8_t rs[KV_ECDSA_RS_LEN];
    kv_buf_init(&text, 4096);
    enum kv_code code = kv_log_checkpoint_text(log, &text, &size, err);
    if (code == KV_OK) {
        sign(kv_buf_bytes(&text), rs);
        code = kv_log_publish(log, size, rs, err);
    }
    kv_buf_clear(&text);
    return code;
}

static inline enum kv_code append(struct kv_log *log, struct kv_record *rec, int64_t ts,
                                  struct kv_err *err)
{
    rec->ts_ms = ts;
    memcpy(rec->boot, "00c0ffee", 9);
    enum kv_code code = kv_log_append(log, rec, err);
    kv_record_free(rec);
    return code;
}

static inline struct kv_record *init_record(const struct kv_vkey *key)
{
    struct kv_record *rec = kv_record_new(KV_EV_LOG_INIT);
    char text[KV_VKEY_TEXT_LEN];
    char vault[KV_ORIGIN_LEN];
    memcpy(vault, key->name, sizeof vault);
    vault[strlen(vault) - strlen("/audit")] = '\0';
    kv_vkey_format(key, text);
    kv_record_info_str(rec, "vault", vault);
    kv_record_info_str(rec, "vkey", text);
    kv_record_info_bool(rec, "test", true);
    kv_record_add_doc(rec, KV_DOC_PUBLIC_KEY, kv_bytes(key->key, key->key_len));
    return rec;
}

static inline struct kv_record *start_record(void)
{
    struct kv_record *rec = kv_record_new(KV_EV_AGENT_START);
    kv_record_info_str(rec, "version", "0.1.0");
    kv_record_info_map_str(rec, "programs", NULL, NULL);
    kv_record_info_map_str(rec, "modules", NULL, NULL);
    kv_record_info_str(rec, "config", "-");
    kv_record_info_str(rec, "policy", "-");
    kv_record_info_map_str(rec, "custody", "main", "software");
    kv_record_info_int(rec, "batch", 256);
    kv_record_info_int(rec, "wait", 1000);
    return rec;
}

static inline struct kv_record *stop_record(const char *why)
{
    struct kv_record *rec = kv_record_new(KV_EV_AGENT_STOP);
    kv_record_info_str(rec, "why", why);
    return rec;
}

/* The records of the vectors up to the last one that the checkpoint covers, but that one changed to
 * another good record: the chain holds, only the root can tell. Lines with LF. */
static inline struct kv_buf other_last_record(void)
{
    struct kv_buf all = load(VECTOR("v1/evidence/records.jsonl"));
    struct kv_bytes rest = kv_buf_bytes(&all);
    struct kv_bytes line;
    struct kv_buf out;
    kv_buf_init(&out, 1 << 20);
    for (size_t seq = 0; seq < 73; seq++) {
        assert_true(next_line(&rest, &line));
        size_t at = out.len;
        kv_buf_add_bytes(&out, line);
        if (seq == 72) {
            char *boot = strstr((char *)out.data + at, "\"boot\":\"");
            assert_non_null(boot);
            boot[8] = boot[8] == '0' ? '1' : '0';
        }
        kv_buf_add_str(&out, "\n");
    }
    kv_buf_clear(&all);
    return out;
}

/* The same as a segment. */
static inline struct kv_buf other_last_segment(void)
{
    struct kv_buf lines = other_last_record();
    struct kv_bytes rest = kv_buf_bytes(&lines);
    struct kv_bytes line;
    struct kv_buf out;
    kv_buf_init(&out, 1 << 20);
    for (uint64_t seq = 0; next_line(&rest, &line); seq++) {
        kv_wal_frame(seq, line, &out);
    }
    kv_buf_clear(&lines);
    return out;
}

#endif
