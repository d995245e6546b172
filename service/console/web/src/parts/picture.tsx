import type { Content } from "../api/profiles";
import { t } from "../i18n";

type Media = NonNullable<Content["avatar"]>;
const SHOWN = /^image\/(png|jpeg|gif|webp|avif)$/;

/**
 * A picture that came with the profile. One at a URL is named and not loaded: loading it would
 * tell its server who is looked at.
 */
export function Picture({ media, name }: { media: Media; name: string }) {
  if (media.data && SHOWN.test(media.content_type ?? "")) {
    const source = `data:${media.content_type};base64,${media.data}`;
    return <img class="picture" src={source} alt={name} loading="lazy" />;
  }
  let told = t("profile.hash");
  if (media.url) told = t("profile.remote", { url: media.url });
  if (media.space) told = t("profile.vector", { space: media.space });
  return <span class="picture-note words">{told}</span>;
}
