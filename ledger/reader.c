#include "ledger/reader.h"

#include "ledger/file.h"
#include "ledger/note.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CHUNK 262144 /* bytes read at once of records.jsonl; holds more than one whole record */

struct kv_reader {
    enum kv_reader_kind kind;
    int dir_fd, blobs_fd, private_fd;
    struct kv_buf note;
    uint64_t count;
    enum kv_why why;
    char file[64];
    uint64_t line;
    /* export */
    int records_fd;
    uint8_t *chunk; /* owned, CHUNK bytes */
    size_t start, end;
    /* ledger */
    int wal_fd;
    struct kv_buf segment;
    bool loaded;
    size_t off;
};

void kv_reader_free(struct kv_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    int *const fds[] = {&reader->records_fd, &reader->wal_fd, &reader->blobs_fd,
                        &reader->private_fd, &reader->dir_fd};
    for (size_t i = 0; i < KV_COUNT(fds); i++) {
        kv_close_fdp(fds[i]);
    }
    kv_buf_clear(&reader->note);
    kv_buf_clear(&reader->segment);
    free(reader->chunk);
    free(reader);
}

void kv_reader_freep(struct kv_reader **reader)
{
    kv_reader_free(*reader);
    *reader = NULL;
}

static enum kv_code open_optional(int dir_fd, const char *name, int *out, struct kv_err *err)
{
    enum kv_code code = kv_dir_open(dir_fd, name, out, err);
    return code == KV_E_NOT_FOUND ? KV_OK : code;
}

/* Which kind of folder: records.jsonl makes an export, wal/ a ledger. */
static enum kv_code open_kind(struct kv_reader *reader, struct kv_err *err)
{
    reader->records_fd =
        openat(reader->dir_fd, "records.jsonl", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (reader->records_fd >= 0) {
        reader->kind = KV_READER_EXPORT;
        memcpy(reader->file, "records.jsonl", sizeof "records.jsonl");
        reader->chunk = malloc(CHUNK);
        return reader->chunk == NULL ? KV_REFUSE(err, KV_E_NO_MEMORY, "no memory to read records")
                                     : KV_OK;
    }
    if (errno != ENOENT) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "records.jsonl cannot be opened");
    }
    reader->kind = KV_READER_LEDGER;
    memcpy(reader->file, "wal/", 4);
    kv_segment_name(0, reader->file + 4);
    enum kv_code code = kv_dir_open(reader->dir_fd, "wal", &reader->wal_fd, err);
    return code == KV_E_NOT_FOUND
               ? KV_REFUSE(err, code, "neither an export (records.jsonl) nor a ledger (wal/)")
               : code;
}

enum kv_code kv_reader_open(const char *path, struct kv_reader **out, struct kv_err *err)
{
    KV_CLEANUP(kv_reader_freep) struct kv_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no memory for a reader");
    }
    reader->blobs_fd = reader->private_fd = reader->records_fd = reader->wal_fd = -1;
    kv_buf_init(&reader->note, KV_NOTE_MAX);
    kv_buf_init(&reader->segment, KV_SEGMENT_MAX);
    reader->why = KV_WHY_END;
    reader->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (reader->dir_fd < 0) {
        return KV_FAIL(err, errno == ENOENT ? KV_E_NOT_FOUND : KV_E_IO, KV_ERRNO,
                       "the folder '%.100s' cannot be opened", path);
    }
    /* The checkpoint first: while an agent appends, the records can only be more. */
    enum kv_code code = open_kind(reader, err);
    if (code == KV_OK) {
        code = kv_file_read(reader->dir_fd, kv_reader_checkpoint_path(reader), KV_NOTE_MAX,
                            &reader->note, err);
        code = code == KV_E_NOT_FOUND || code == KV_E_INPUT_TOO_LARGE ? KV_OK : code;
    }
    if (code == KV_OK) {
        code = open_optional(reader->dir_fd, "blobs", &reader->blobs_fd, err);
    }
    if (code == KV_OK) {
        code = open_optional(reader->dir_fd, "private", &reader->private_fd, err);
    }
    if (code != KV_OK) {
        return code;
    }
    *out = reader;
    reader = NULL; /* handed over */
    return KV_OK;
}

enum kv_reader_kind kv_reader_kind(const struct kv_reader *reader)
{
    return reader->kind;
}

int kv_reader_dir(const struct kv_reader *reader)
{
    return reader->dir_fd;
}

int kv_reader_blobs(const struct kv_reader *reader)
{
    return reader->blobs_fd;
}

int kv_reader_private(const struct kv_reader *reader)
{
    return reader->private_fd;
}

const char *kv_reader_checkpoint_path(const struct kv_reader *reader)
{
    return reader->kind == KV_READER_EXPORT ? "checkpoint" : "public/checkpoint";
}

const char *kv_reader_evidence_path(const struct kv_reader *reader)
{
    return reader->kind == KV_READER_EXPORT ? "keys/log.evidence" : "public/log.evidence";
}

struct kv_bytes kv_reader_checkpoint(const struct kv_reader *reader)
{
    return kv_buf_bytes(&reader->note);
}

/* Move what is left to the front and read more behind it; *eof if there is no more. */
static enum kv_code fill(struct kv_reader *reader, bool *eof, struct kv_err *err)
{
    size_t left = reader->end - reader->start;
    memmove(reader->chunk, reader->chunk + reader->start, left);
    reader->start = 0;
    reader->end = left;
    ssize_t n;
    do {
        n = read(reader->records_fd, reader->chunk + left, CHUNK - left);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "records.jsonl cannot be read");
    }
    *eof = n == 0;
    reader->end += (size_t)n;
    return KV_OK;
}

static enum kv_code next_line(struct kv_reader *reader, struct kv_bytes *line, bool *more,
                              struct kv_err *err)
{
    bool eof = false;
    reader->line = reader->count + 1;
    for (;;) {
        size_t have = reader->end - reader->start;
        const uint8_t *from = reader->chunk + reader->start;
        const uint8_t *lf = have == 0 ? NULL : memchr(from, '\n', have);
        if (lf != NULL) {
            *line = kv_bytes(from, (size_t)(lf - from));
            reader->start += line->len + 1;
            break;
        }
        if (have > KV_RECORD_MAX) {
            return KV_REFUSE(err, KV_E_LEDGER_RECORD, "a record of more than %d bytes",
                             KV_RECORD_MAX);
        }
        if (eof) {
            *more = false;
            return have == 0
                       ? KV_OK
                       : KV_REFUSE(err, KV_E_LEDGER_RECORD, "there is no LF behind the last line");
        }
        enum kv_code code = fill(reader, &eof, err);
        if (code != KV_OK) {
            return code;
        }
    }
    reader->count++;
    *more = true;
    return KV_OK;
}

/* Load the segment that begins with the record that is due; *found false if there is none. */
static enum kv_code load_segment(struct kv_reader *reader, bool *found, struct kv_err *err)
{
    char name[KV_SEGMENT_NAME_LEN];
    struct kv_buf bytes;
    kv_segment_name(reader->count, name);
    kv_buf_init(&bytes, KV_SEGMENT_MAX);
    enum kv_code code = kv_file_read(reader->wal_fd, name, KV_SEGMENT_MAX, &bytes, err);
    *found = code == KV_OK;
    if (code != KV_OK) {
        kv_buf_clear(&bytes);
        return code == KV_E_NOT_FOUND ? KV_OK : code;
    }
    kv_buf_clear(&reader->segment);
    reader->segment = bytes; /* handed over */
    reader->loaded = true;
    reader->off = 0;
    memcpy(reader->file, "wal/", 4);
    memcpy(reader->file + 4, name, sizeof name);
    return KV_OK;
}

static enum kv_code next_frame(struct kv_reader *reader, struct kv_bytes *line, bool *more,
                               struct kv_err *err)
{
    *more = false;
    for (int tries = 0; tries < 2; tries++) {
        if (reader->loaded) {
            reader->why =
                kv_segment_frame(kv_buf_bytes(&reader->segment), reader->off, reader->count, line);
            if (reader->why == KV_WHY_NONE) {
                reader->off += KV_FRAME_HEADER + line->len;
                reader->count++;
                *more = true;
                return KV_OK;
            }
            if (reader->why != KV_WHY_END || reader->off == 0) {
                return KV_OK;
            }
        }
        bool found;
        enum kv_code code = load_segment(reader, &found, err);
        if (code != KV_OK || !found) {
            return code;
        }
    }
    return KV_OK;
}

enum kv_code kv_reader_next(struct kv_reader *reader, struct kv_bytes *line, bool *more,
                            struct kv_err *err)
{
    return reader->kind == KV_READER_EXPORT ? next_line(reader, line, more, err)
                                            : next_frame(reader, line, more, err);
}

const char *kv_reader_file(const struct kv_reader *reader)
{
    return reader->file;
}

uint64_t kv_reader_line(const struct kv_reader *reader)
{
    return reader->line;
}

uint64_t kv_reader_count(const struct kv_reader *reader)
{
    return reader->count;
}

enum kv_why kv_reader_why(const struct kv_reader *reader)
{
    return reader->why;
}
