/* xml.h - for what reads S3's answers: values out of a document in XML.
 *
 * A small strict reader: elements, text, CDATA, the five entities and numbered ones; attributes, comments and processing
 * instructions are passed over, prefixes of namespaces ignored; a DTD is refused, for it is what makes XML dangerous.
 * Tags must match and the document be whole: one that was cut short would be a listing that lacks names. About single
 * characters it is lenient, for servers are. Its depth is bounded, and it takes no memory.
 *
 * What is asked of it are values: the text of children of the root, or of their children ("Contents/Key"). Elements of
 * the same name elsewhere are not meant. */
#ifndef WB_S3STORE_XML_H
#define WB_S3STORE_XML_H

#include <stdbool.h>
#include <stddef.h>

#include <wbstore/blob.h>

#define S3_XML_DEPTH_MAX 32

typedef struct s3_xml_text {
    const char *data;
    size_t size;
} s3_xml_text;

typedef struct s3_xml_reader {
    const char *at, *end;
    s3_xml_text open[S3_XML_DEPTH_MAX]; /* the elements around, as they stand in their tags */
    unsigned depth;
    bool rooted; /* the root has begun */
    bool empty;  /* a tag that is its own end was reported as a start */
} s3_xml_reader;

typedef struct s3_xml_want {
    const char *parent; /* NULL: the root */
    const char *name;
    char *data; /* the value, decoded, not ended by a zero */
    size_t room;
    size_t size;
    bool found;
    bool cut; /* there was more than room */
} s3_xml_want;

/* False: it is no XML from the first look. */
bool s3_xml_begin(s3_xml_reader *x, blob_view document);

/* Reads up to the end of the next child of the root, which is named `root`, and puts down what is wanted of it. 1: there
 * was one, *child is its name; 0: the document has ended, whole; -EBADMSG, and it must not be called again: malformed,
 * another root, or a value that was found before or has elements in it. */
int s3_xml_child(s3_xml_reader *x, const char *root, s3_xml_want *wants, size_t count, s3_xml_text *child);

/* Whatever its prefix. */
bool s3_xml_is_named(s3_xml_text name, const char *word);

#endif
