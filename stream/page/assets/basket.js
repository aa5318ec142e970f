// The basket: kept in this browser, until it is bought or somebody new comes.

const KEY = "firstclick-basket";
let rows = read();
const listeners = [];

function read() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? kept.filter((row) => row?.product?.item_id && row.quantity > 0) : [];
  } catch {
    return [];
  }
}

function changed() {
  localStorage.setItem(KEY, JSON.stringify(rows));
  listeners.forEach((listener) => listener());
}

export const inBasket = () => rows;
export const count = () => rows.reduce((sum, row) => sum + row.quantity, 0);
export const total = () => rows.reduce((sum, row) => sum + row.quantity * (row.product.price ?? 0), 0);
export const onBasket = (listener) => listeners.push(listener);

export function put(product) {
  const row = rows.find((each) => each.product.item_id === product.item_id);
  if (row) row.quantity += 1;
  else rows.push({ product, quantity: 1 });
  changed();
}

export function takeOut(item_id) {
  rows = rows.filter((row) => row.product.item_id !== item_id);
  changed();
}

export function empty() {
  rows = [];
  changed();
}
