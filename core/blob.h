/* blob.h - THE FORMAT of a `.slowlens` file, versions 1 and 2.
 *
 * A file is ONE standard zstd frame (RFC 8878) with content size and content
 * checksum, so `zstd -d` opens and `zstd -t` checks it. META and SUMMARY of a
 * large one are blocks of their own: they are had from its first bytes. Its
 * content:
 *
 *   offset 0   "slowlens"           8 bytes, ASCII
 *          8   version              u16, little-endian: 1, or 2 where a
 *                                   number is beyond the bounds of version 1
 *         10   flags                u16, little-endian: 0, ignored
 *         12   section*             until END
 *
 *   section =  tag varint, length varint (bytes of the payload), payload
 *
 *   tag  section     in a file   payload
 *     1  META        first       metadata, so that listing reads no further
 *     7  SUMMARY     optional,   what a list, a log line, an index want of the
 *                    behind META rest, so that they need not read it
 *     2  STRINGS     once        every string once
 *     3  FUNCTIONS   once
 *     4  TREE        once
 *     5  LINES       optional, behind TREE
 *     6  TIMELINE    optional, behind TREE
 *     8  COUNTERS    optional, behind TREE
 *     9  SPANS       optional, behind TREE
 *    10  HITS        optional, behind TREE
 *     0  END         last        empty
 *
 * An unknown tag is skipped by its length: new optional sections need no new
 * version. Sections 2 to 4 stand in this order; others may stand between.
 *
 * All numbers are varints (LEB128, core/varint.h). A COLUMN is one varint for
 * each row, row after row: equal things lie together and compress well.
 *
 * META       count, then per item: key (length, UTF-8 bytes), type, value
 *            type 0: signed integer, zigzag varint;  1: string (length, bytes)
 *            An unknown type makes the file corrupt. Keys: see core/README.md.
 *
 * SUMMARY    items like those of META; keys: slowlens/meta.h
 *
 * STRINGS    count, column of lengths, all bytes one after the other. UTF-8;
 *            string 0 is "".
 *
 * FUNCTIONS  count, then columns: name (string number), file (string number),
 *            line of definition (0: none), kind (sl_kind), origin (sl_origin).
 *            Numbered in the order in which the tree first names them.
 *
 * TREE       count of nodes, quantum (ns per unit of time), then columns in
 *            preorder (a parent stands before its children, children in the
 *            order of their first call):
 *              pops      levels to go up from the previous node before adding
 *                        this one below: 0 = child of the previous node,
 *                        1 = its sibling... The root, node 0, has 0.
 *              function  0: the next function not named yet; n: number n - 1
 *              calls
 *              resumes   of a generator or coroutine, after a yield
 *              self      time in units of the quantum, children excluded
 *              line      in the parent where the call stands; 0: not known
 *
 *            Self times are rounded on their running sum, so they add up to
 *            the whole however fine they are. Node 0 is the request. Pseudo
 *            functions named [task] and [thread] (kind 2) are strands: they
 *            ran beside the main strand, and their time is not part of their
 *            parent's.
 *
 *            In a sampled profile (META "mode" is "sampling") `calls` are the
 *            samples of the node's whole subtree, and every time is the sum of
 *            what the samples stood for. In another, [by sampling] (kind 2) is
 *            where sampling took over for want of room: in its subtree the
 *            `calls` of functions are not known, and 0.
 *
 * LINES      count of rows, then columns; rows in the order of their nodes:
 *              node      less that of the row before (0 before the first)
 *              line      in the node's own function; 0: not known
 *              wall      self time of the node on that line, in quanta
 *              cpu       of these, on the CPU
 *              gil       of these, waiting for the GIL; cpu + gil <= wall
 *            Where a node's time was spent on none of them it was blocked.
 *            In a sampled profile the rows of a node make up its self time; in
 *            another they are what samples beside it saw, and divide it.
 *
 * TIMELINE   count of rows, then columns; rows in the order of lane and time:
 *              lane      strand, less that of the row before; 0: the main one
 *              gap       quanta since the end of the lane's row before, or
 *                        since the beginning of the request
 *              node      whose function was innermost; zigzag of the
 *                        difference to the row before
 *              length    quanta
 *
 * COUNTERS   count of metrics, then per metric: its number (sl_metric), count
 *            of rows, and columns; rows in the order of their nodes:
 *              node      less that of the row before (0 before the first)
 *              value     in the unit of slowlens/metric.h; not 0
 *            A metric that a reader does not know is skipped; a node without a
 *            row has none of it.
 *
 * HITS       lines of functions that events told of, each; count of rows, then
 *            columns; rows in the order of their nodes and lines:
 *              node      less that of the row before (0 before the first)
 *              line      in the node's own function; not 0
 *              hits      how often it was begun
 *              self      time on it in quanta, without what it called
 *            Functions whose nodes have no row were not followed line by line.
 * SPANS      count of rows, count of firsts, how many spans are in no row; then
 *            columns; rows in the order of their nodes:
 *              node      less that of the row before (0 before the first)
 *              line      in the node's own function; 0: not known, or its call
 *              lane      strand; 0: the main one
 *              kind      string number: "db", "http"... (slowlens/span.h)
 *              text      string number: what it was, without parameters
 *              where     string number: beside the node, a line of a template
 *              count     spans of the row
 *              total     quanta, of all of them
 *              outer     of these, not within others of the kind
 *              longest   quanta, of one
 *              firsts    how many of the firsts below are the row's
 *            and then columns of the firsts, row after row, in the order of
 *            time:
 *              gap       quanta since the row's first before began, or since
 *                        the beginning of the request
 *              length    quanta
 *              detail    string number
 *            Spans are not part of the tree: their time is that of its nodes.
 *
 *   META:  02 | 06 "method" 01 03 "GET" | 07 "wall_ns" 00 80 DA C4 09
 *   TREE:  request > view > (copy, copy > deepcopy)
 *          pops 0 0 0 1... function 0 0 0 3 ...
 */
#ifndef SL_CORE_BLOB_H
#define SL_CORE_BLOB_H

#include <stddef.h>
#include <stdint.h>

#define SL_BLOB_MAGIC       "slowlens"
#define SL_BLOB_MAGIC_SIZE  8
#define SL_BLOB_HEADER_SIZE 12
#define SL_BLOB_VERSION     2

enum {
    SL_BLOB_END = 0,
    SL_BLOB_META = 1,
    SL_BLOB_STRINGS = 2,
    SL_BLOB_FUNCTIONS = 3,
    SL_BLOB_TREE = 4,
    SL_BLOB_LINES = 5,
    SL_BLOB_TIMELINE = 6,
    SL_BLOB_SUMMARY = 7,
    SL_BLOB_COUNTERS = 8,
    SL_BLOB_SPANS = 9,
    SL_BLOB_HITS = 10
};

enum { SL_BLOB_INTEGER = 0, SL_BLOB_TEXT = 1 };

/* THE BOUNDS. A reader checks them before it allocates, a writer keeps to
 * them: what is written can be read, what cannot be written is counted (the
 * summary's "clipped"), and what would be too much as a whole is SL_ELIMIT. */
#define SL_BLOB_MAX_CONTENT   ((size_t)256 << 20)
#define SL_BLOB_MAX_META      4096u
#define SL_BLOB_MAX_STRINGS   (1u << 22)
#define SL_BLOB_MAX_FUNCTIONS (1u << 22)
#define SL_BLOB_MAX_NODES     (1u << 24)
#define SL_BLOB_MAX_LINES     (1u << 24)
#define SL_BLOB_MAX_STRETCHES (1u << 24)
#define SL_BLOB_MAX_METRICS   64u
#define SL_BLOB_MAX_COUNTERS  (1u << 24) /* rows of all metrics */
#define SL_BLOB_MAX_SPANS     (1u << 20)
#define SL_BLOB_MAX_FIRSTS    (1u << 20)

/* Bytes of a function's name or file; a reader cuts what is longer. */
#define SL_BLOB_MAX_NAME 4096u

/* Each column of times (in ns) and of counts adds up to no more than this, so
 * that no sum over a profile overflows. No single number has a bound of its
 * own: 146 years in one function can be written. */
#define SL_BLOB_MAX_SUM ((uint64_t)1 << 62)

/* Single numbers of version 1, whose readers refuse larger ones. */
#define SL_BLOB_V1_MAX_NS    ((uint64_t)1 << 39)
#define SL_BLOB_V1_MAX_COUNT ((uint64_t)UINT32_MAX)

/* A decoded profile takes no more than this, as long as nobody allows more:
 * the bytes that a reader takes for a row of each table. */
#define SL_BLOB_MAX_DECODED    ((uint64_t)1 << 30)
#define SL_BLOB_NODE_BYTES     64u
#define SL_BLOB_FUNCTION_BYTES 128u
#define SL_BLOB_LINE_BYTES     40u
#define SL_BLOB_STRETCH_BYTES  24u
#define SL_BLOB_COUNTER_BYTES  16u
#define SL_BLOB_SPAN_BYTES     88u
#define SL_BLOB_FIRST_BYTES    24u

#endif /* SL_CORE_BLOB_H */
