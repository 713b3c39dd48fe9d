/* placeholder until the support library has its first file */
typedef int support_is_not_empty;
