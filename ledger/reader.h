/* Reads a ledger without owning it: an export folder (records.jsonl, checkpoint, keys/) or a ledger
 * folder (wal/, public/checkpoint), while an agent may be appending to the latter. It gives lines
 * of bytes in order and says where they lie; it judges nothing but frames. */
#ifndef KV_LEDGER_READER_H
#define KV_LEDGER_READER_H

#include "core/buf.h"
#include "core/err.h"
#include "core/hash.h"
#include "ledger/segment.h"

enum kv_reader_kind { KV_READER_EXPORT, KV_READER_LEDGER };

struct kv_reader;

/* Open the folder at `path`. *out is owned by the caller. Errors: KV_E_NOT_FOUND (neither kind of
 * folder), KV_E_IO. */
KV_MUST_USE enum kv_code kv_reader_open(const char *path, struct kv_reader **out,
                                        struct kv_err *err);
void kv_reader_free(struct kv_reader *reader);
void kv_reader_freep(struct kv_reader **reader);
enum kv_reader_kind kv_reader_kind(const struct kv_reader *reader);
int kv_reader_dir(const struct kv_reader *reader);     /* the folder itself */
int kv_reader_blobs(const struct kv_reader *reader);   /* blobs/, -1 if there is none */
int kv_reader_private(const struct kv_reader *reader); /* private/, -1 if there is none */
const char *kv_reader_checkpoint_path(const struct kv_reader *reader); /* below the folder */
/* Of what a token says of the log's key; there need not be such a file. */
const char *kv_reader_evidence_path(const struct kv_reader *reader);
/* Append the checkpoint's bytes as they were when the reader was opened, before any record was
 * read; empty if there was none. */
struct kv_bytes kv_reader_checkpoint(const struct kv_reader *reader);

/* The next record's bytes, without LF, borrowed until the next call; *more false at the end. A
 * frame that is bad ends a ledger folder's records: kv_reader_why says how. Errors:
 * KV_E_LEDGER_RECORD (no LF behind the last line, a line above KV_RECORD_MAX), KV_E_IO. */
KV_MUST_USE enum kv_code kv_reader_next(struct kv_reader *reader, struct kv_bytes *line, bool *more,
                                        struct kv_err *err);
/* Where the line that was read last (or failed) lies: the file below the folder, and its line
 * number in it, 0 where there are frames. */
const char *kv_reader_file(const struct kv_reader *reader);
uint64_t kv_reader_line(const struct kv_reader *reader);
/* Records given so far: the seq of the next one. */
uint64_t kv_reader_count(const struct kv_reader *reader);
/* Why a ledger folder's records ended; KV_WHY_END for a clean end and for exports. */
enum kv_why kv_reader_why(const struct kv_reader *reader);

#endif
