/** As a `ref`: the element has the focus when it appears. (`autofocus` works once a document.) */
export function focusOnMount(element: HTMLElement | null): void {
  element?.focus();
}
