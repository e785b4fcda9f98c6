/* report_put.h - what several reports put into their JSON. */
#ifndef SL_CORE_REPORT_PUT_H
#define SL_CORE_REPORT_PUT_H

#include "json.h"

#include "slowlens/profile.h"

/* A report holds no more than this. */
#define SL_REPORT_MAX ((size_t)256 << 20)

/* "meta":{...}, all there is. */
void sl_put_meta(sl_json *json, const sl_profile *profile);

/* "summary":{...}, what the blob has of it. */
void sl_put_summary(sl_json *json, const sl_profile *profile);

/* FUNCTION of slowlens/report.h, with `id`. The second leaves the object
 * open, for more of it. */
void sl_put_function(sl_json *json, const sl_function *f, uint32_t id);
void sl_put_function_open(sl_json *json, const sl_function *f, uint32_t id);

#endif /* SL_CORE_REPORT_PUT_H */
